"""The stock client's builds go through buildx: what they print, give and leave, here and on a dockerd, side by side."""

from __future__ import annotations

import itertools
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ...support.daemon import Daemon
from ...support.peer import Peer
from ...support.stockclient import StockClient, archive, write

pytestmark = [pytest.mark.peer, pytest.mark.xdist_group("buildx-peer")]

_NUMBERS = itertools.count()
TWO_STAGES = """FROM busybox AS make
ARG WHO=nobody
RUN --mount=type=secret,id=key cp /run/secrets/key /key; echo hello $WHO > /hello
FROM busybox AS final
COPY --from=make /hello /key /
COPY sub /sub
WORKDIR /work
RUN echo made > file
"""
TREE = {"Dockerfile": TWO_STAGES, "sub/a": "a", "sub/b.o": "left out", ".dockerignore": "**/*.o\n", "key": "secret\n"}
SMALL = "FROM busybox\nCOPY f /f\n"
BAKE = """
group "default" {
  targets = ["one", "two"]
}
target "one" {
  context = "a"
  tags = ["NAME-one"]
}
target "two" {
  context = "b"
  tags = ["NAME-two"]
  contexts = {
    first = "target:one"
    other = "a"
  }
}
"""
COMPOSE = "services:\n  one: {build: a, image: NAME-one}\n  two: {build: b, image: NAME-two}\n"
PAIR = {"a/Dockerfile": SMALL, "a/f": "1", "b/Dockerfile": SMALL, "b/f": "2"}
PLAIN = ("--progress", "plain")


@dataclass(frozen=True)
class Case:
    """A command line in a directory with `files`; NAME is a name of its own, `stdin` a file that it reads or `tar`."""

    argv: Sequence[str]
    files: Mapping[str, str] = field(default_factory=lambda: TREE)
    stdin: str = ""
    shows: Sequence[str] = ()
    """A command line afterwards, whose output counts."""


SECRET = ("--secret", "id=key,src=key")
CASES = {
    "image": Case(
        ("build", *PLAIN, *SECRET, "--build-arg", "WHO=you", "-t", "NAME", "."),
        shows=("run", "--rm", "NAME", "sh", "-c", "cat /hello /key; find /sub /work; pwd"),
    ),
    "quiet": Case(("build", "-q", *SECRET, "-t", "NAME", "."), shows=("inspect", "-f", "{{.RepoTags}}", "NAME")),
    "target and files": Case(
        (
            "build",
            *PLAIN,
            *SECRET,
            "--target",
            "make",
            "--iidfile",
            "id",
            "--metadata-file",
            "metadata",
            "-t",
            "NAME",
            ".",
        )
    ),
    "directory": Case(("buildx", "build", *PLAIN, *SECRET, "-o", "out", ".")),
    "tar": Case(("buildx", "build", "-q", *SECRET, "-o", "type=tar,dest=out.tar", ".")),
    "no output": Case(("buildx", "build", *PLAIN, *SECRET, "-o", "type=cacheonly", ".")),
    "context from standard input": Case(("build", *PLAIN, *SECRET, "-t", "NAME", "-"), stdin="tar"),
    "Dockerfile from standard input": Case(("build", *PLAIN, "-"), {"in": "FROM busybox\nRUN echo hi\n"}, stdin="in"),
    "Dockerfile from standard input with a context": Case(
        ("build", *PLAIN, "-f", "-", "."), {"in": SMALL, "f": "x"}, stdin="in"
    ),
    "another Dockerfile": Case(("build", *PLAIN, "-f", "other/file", "."), {"other/file": SMALL, "f": "x"}),
    "bake": Case(
        ("buildx", "bake", *PLAIN),
        {**PAIR, "docker-bake.hcl": BAKE, "b/Dockerfile": f"{SMALL}COPY --from=first /f /g\nCOPY --from=other f /h\n"},
        shows=("run", "--rm", "NAME-two", "cat", "/f", "/g", "/h"),
    ),
    "compose": Case(
        ("compose", "build"), {**PAIR, "compose.yaml": COMPOSE}, shows=("run", "--rm", "NAME-two", "cat", "/f")
    ),
    "check": Case(("build", "--check", "."), {"Dockerfile": "from busybox as Base\nCMD echo $x\nENV a b\n"}),
    "outline": Case(("build", "--call", "outline", "."), TREE),
    "targets": Case(("build", "--call", "targets", "."), TREE),
    "a step fails": Case(("build", *PLAIN, "."), {"Dockerfile": "FROM busybox\nRUN echo out; exit 7\n"}),
    "no such instruction": Case(("build", *PLAIN, "."), {"Dockerfile": "FROM busybox\nRUNN x\n"}),
    "no such file": Case(("build", *PLAIN, "."), {"Dockerfile": "FROM busybox\nCOPY nope /\n"}),
    "no such secret": Case(
        ("build", *PLAIN, "."), {"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=x,required=true true\n"}
    ),
    "no such agent": Case(
        ("build", *PLAIN, "."), {"Dockerfile": "FROM busybox\nRUN --mount=type=ssh,required=true true\n"}
    ),
    "no such target": Case(("build", *PLAIN, "--target", "nope", "."), {"Dockerfile": SMALL, "f": ""}),
    "no Dockerfile": Case(("build", *PLAIN, "."), {"f": ""}),
    "no base": Case(("build", *PLAIN, "--target", "a", "."), {"Dockerfile": "FROM scratch AS a\n"}),
}


DIFFERENT = {
    # the archive becomes the context as it comes, without a step that copies it
    "context from standard input": {"ours: [internal] load build context", "theirs: copy /context /"},
    # the lint pulls nothing
    "check": {"theirs: [internal] load metadata for docker.io/library/busybox:latest"},
    "outline": {
        "theirs: [internal] load .dockerignore",
        "theirs: [internal] load metadata for docker.io/library/busybox:latest",
    },
    # there are no refs within BuildKit
    "no such file": {
        'ours: ERROR: failed to build: failed to solve: failed to compute cache key: "/nope": not found',
        'ours: ERROR: failed to compute cache key: "/nope": not found',
        "theirs: ERROR: failed to build: failed to solve: failed to compute cache key: failed to calculate checksum of "
        'ref ID "/nope": not found',
        'theirs: ERROR: failed to calculate checksum of ref ID "/nope": not found',
    },
}
"""What differs, and is known to."""


def outcome(client: StockClient, case: Case, where: Path) -> dict[str, object]:
    """All that is seen of a case, without what no two runs have in common."""
    name = f"bx{os.getpid()}-{next(_NUMBERS)}"
    write(where, {path: text.replace("NAME", name) for path, text in case.files.items()})
    stdin = archive(where) if case.stdin == "tar" else (where / case.stdin).read_bytes() if case.stdin else None
    before = names(where)
    result = client.run(*(word.replace("NAME", name) for word in case.argv), cwd=where, stdin=stdin)
    found: dict[str, Any] = {
        "status": result.status, "log": sorted(set(lines(result.err, name))),
        "files": {path: shown(where, path) for path in sorted(names(where) - before)},
    }  # fmt: skip
    if case.argv[0] == "compose":  # it writes all to standard output
        found["log"] = sorted(set(lines(result.out + result.err, name)))
    else:
        found["out"] = lasting(result.out, name)
    if case.argv[0] == "compose" or "bake" in case.argv:
        found["log"] = sorted({whichever(line) for line in found["log"]})
    if case.shows:
        found["afterwards"] = lasting(client.run(*(word.replace("NAME", name) for word in case.shows)).out, name)
    return found


def names(where: Path) -> set[str]:
    return {str(path.relative_to(where)) for path in where.rglob("*")}


def shown(where: Path, name: str) -> object:
    """Of a result what two engines have in common."""
    path = where / name
    if name == "metadata":
        return sorted(set(json.loads(path.read_text())) - {"buildx.build.provenance"})  # we attest nothing
    if name == "id":
        return lasting(path.read_text(), "")
    if path.suffix == ".tar":
        with tarfile.open(path) as members:
            return sorted((one.name.rstrip("/"), one.mode, one.type, one.linkname) for one in members)
    if path.is_symlink():
        return os.readlink(path)
    return oct(path.stat().st_mode), path.read_bytes().hex()[:200] if path.is_file() else ""


def lasting(text: str, name: str) -> str:
    text = text.replace(name, "NAME") if name else text
    text = re.sub(r"sha256:[0-9a-f]{64}|\b[0-9a-z]{25}\b", "ID", text)
    return re.sub(r"\b\d+(\.\d+)?(s|[kM]?B)\b", "N", text)


def lines(log: str, name: str) -> Iterator[str]:
    """What a log says of steps, whatever their numbers, order and times."""
    for line in lasting(log, name).splitlines():
        line = re.sub(r"^#\d+ |^\d+\.\d+ ", "", line)
        line = re.sub(r"^\d+\.\d+ ", "", line)
        line = re.sub(r"( N)*( / N)?( done)?$", "", line).strip()
        line = re.sub(r"checksum of ref \S+", "checksum of ref ID", line)
        # what an engine built before, and what takes so long that it is worth a line, are its own affair
        if line and line not in ("DONE", "CACHED", "...") and not line.startswith("transferring "):
            yield line


def whichever(line: str) -> str:
    """A step that two builds share is told of in the name of that which comes first."""
    line = re.sub(r"^\[(one|two) (context other|internal)\]", "[internal]", line)
    return re.sub(r"^\[(one|two) [^]]*\d/\d\]", "[step]", line)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    made = Daemon().start()
    made.load_busybox()
    yield made
    made.close()


@pytest.fixture(scope="module")
def ours(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> StockClient:
    return StockClient(daemon.url, tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StockClient]:
    peer = Peer().start()
    peer.load_busybox()
    yield StockClient(peer.url, tmp_path_factory.mktemp("theirs"))
    peer.close()


@pytest.mark.parametrize("case", CASES)
def test_both_say_and_do_the_same(ours: StockClient, theirs: StockClient, case: str, tmp_path: Path) -> None:
    found = [outcome(client, CASES[case], tmp_path / side / "context") for client, side in ((ours, "o"), (theirs, "t"))]
    different = differences(*found) ^ DIFFERENT.get(case, set())
    assert not different, "\n".join(sorted(different))


def differences(ours: dict[str, object], theirs: dict[str, object]) -> set[str]:
    """What only one side says, a line each."""
    found: set[str] = set()
    for key, mine in ours.items():
        other = theirs[key]
        if key == "log":
            assert isinstance(mine, list) and isinstance(other, list)
            found |= {f"ours: {line}" for line in mine if line not in other}
            found |= {f"theirs: {line}" for line in other if line not in mine}
        elif mine != other:
            found.add(f"{key}: {mine} / {other}")
    return found
