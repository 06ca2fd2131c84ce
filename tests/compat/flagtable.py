"""The tables of `run`'s and `create`'s flags: given to a client, their effect is read back.

`flags/*.txt`, one group of flags each:

    % WORDS       flags that every row below has too
    $ SCRIPT      what the containers of the rows below run: it prints the effect inside
    --flag …      a row: `docker run --name NAME<row> WORDS --flag … busybox sh -c SCRIPT`
    docker …      a command line as it stands

NAME is a name that the table owns (it removes what it makes under it), DIR a directory that the engine's machine and
the client both see, filled by `furnish`, GROUP the engine's control group. A container's inspect is kept as its
difference from that of the table's first container.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from .sessions import Docker, normalise

FLAGS: Final = Path(__file__).parent / "flags"
GOLDEN: Final = Path(__file__).parent / "golden" / "flags"


class Row(Struct, omit_defaults=True):
    """What one row gave: the client's answer, and what of its container's inspect is not the first container's."""

    line: str
    status: int
    out: str = ""
    err: str = ""
    inspect: dict[str, Any] = {}

    def shown(self) -> list[str]:
        """For a diff."""
        inspect = [f"{key} = {value!r}" for key, value in self.inspect.items()]
        return [f"$ {self.line}", f"exit {self.status}", *self.out.splitlines(), "--", *self.err.splitlines(), *inspect]


class Golden(Struct):
    """One file: which versions answered, and what."""

    client: str
    server: str
    rows: list[Row]


@dataclass(frozen=True)
class Places:
    """What DIR, DATA (the engine's data root), HOST (its socket) and GROUP stand for."""

    directory: Path
    data: Path
    socket: str
    group: str

    @property
    def start(self) -> Path:
        """Relative paths start from a directory in it: `./a` is START/below/a, `../a` is START/a."""
        return self.directory.with_name("start")

    def given(self, word: str, name: str) -> str:
        """A word of a row as the client gets it."""
        word = re.sub(r"\bDIR\b", str(self.directory), word)
        return re.sub(r"\bGROUP\b", self.group, word).replace("NAME", name)

    def seen(self, text: str, name: str) -> str:
        """The other way round, without what is accidental."""
        for place, path in (
            ("DIR", str(self.directory)), ("START", str(self.start)), ("DATA", str(self.data)), ("HOST", self.socket),
            ("GROUP", self.group),
        ):  # fmt: skip
            text = text.replace(path, place)
        for pattern, shown in _WORDS:
            text = pattern.sub(shown, text)
        return normalise(text, name)


_WORDS: Final = (
    (re.compile(r"error during container init: error setting cgroup config for procHooks process"), "<cgroup>"),
    (re.compile(r"unable to apply cgroup configuration"), "<cgroup>"),
    (re.compile(r"unsafe procfs detected: openat2 fsmount:fscontext:proc/\./"), "open /proc/"),
    (re.compile(r"write fsmount:fscontext:proc/\./"), "write /proc/"),
    (re.compile(r"mount src=tmpfs, dst=\S+, dstFd=\S+, flags=\S+, data=\S+: "), ""),
    (re.compile(r"error setting rlimits for ready process: "), ""),
)
"""At which of its steps runc was when the kernel refused something."""


def tables() -> list[str]:
    """The names of all tables."""
    return sorted(path.stem for path in FLAGS.glob("*.txt"))


def rows(table: str) -> Iterator[tuple[str, list[str]]]:
    """(row as written, words of the docker command) with NAME and DIR as they stand; NAME<n> is a row's container."""
    always: list[str] = []
    script = "true"
    for number, line in enumerate((FLAGS / f"{table}.txt").read_text().splitlines()):
        kind, _, rest = line.partition(" ")
        if kind == "%":
            always = shlex.split(rest)
        elif kind == "$":
            script = rest
        elif kind == "docker":
            yield line, shlex.split(rest)
        elif line:
            words = ["run", "--name", f"NAME{number}", *always, *shlex.split(line)]
            yield line, [*words, "busybox", "sh", "-c", script]


_SECCOMP: Final = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
}


def furnish(directory: Path) -> None:
    """The files that rows name as `DIR/…`; `cdi` is for the engine's `--cdi-spec-dir`."""
    widgets = [
        {
            "name": "one",
            "containerEdits": {
                "env": ["WIDGET_ONE=1"],
                "deviceNodes": [{"path": "/dev/widget", "hostPath": "/dev/null", "permissions": "rw"}],
                "mounts": [{"hostPath": f"{directory}/file", "containerPath": "/widget", "options": ["ro", "bind"]}],
            },
        },
        {"name": "two", "containerEdits": {"env": ["WIDGET_TWO=2"], "additionalGids": [77]}},
    ]
    kind = {"cdiVersion": "0.7.0", "kind": "acme.com/widget", "devices": widgets}
    for path, text in {
        "file": "text\n",
        "sub/file": "below\n",
        "env": "# comment\nA=file\nFROM\n\nQUOTED='x y'\n",
        "bad-env": "A B=1\n",
        "labels": "a=file\nbare\n# comment\n",
        "bad-labels": "=x\n",
        "seccomp.json": json.dumps(_SECCOMP),
        "cdi/acme.json": json.dumps({**kind, "containerEdits": {"env": ["WIDGET=all"]}}),
    }.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)


def play(table: str, docker: Docker, name: str, places: Places) -> list[Row]:
    """Run a table's rows one after the other and read the containers back; removes what it made."""
    answers = []
    made: dict[str, Row] = {}
    (places.start / "below").mkdir(parents=True, exist_ok=True)
    for line, words in rows(table):
        with contextlib.chdir(places.start / "below"):
            status, out, err = docker([places.given(word, name) for word in words])
        row = Row(line, status, places.seen(out, name), places.seen(err, name))
        answers.append(row)
        if words[0] in ("run", "create") and "--name" in words[:-1]:
            made[words[words.index("--name") + 1]] = row
    _, out, _ = docker(["container", "inspect", *(places.given(word, name) for word in made)])
    _note(made, msgspec.json.decode(places.seen(out, name)))
    for what in ("container", "volume", "network", "image"):
        _remove(docker, name, what)
    for made_by_rows in places.directory.glob(f"{name}*"):
        made_by_rows.unlink()
    for group in Path("/sys/fs/cgroup").glob(f"*{places.group}/{name}*"):
        for below in (*group.glob("*/"), group):
            below.rmdir()  # neither engine removes a parent that it was given
    return answers


_CHANGING: Final = re.compile(
    r"\.(Id|Created|Image|Name|LogPath|.*Path|ContainerIDFile|Args.*|State\.(Pid|StartedAt|FinishedAt|Health.*)"
    r"|GraphDriver.*|NetworkSettings\.Sandbox.*|.*\.(NetworkID|EndpointID|MacAddress)|Config\.(Hostname|Cmd|Image)"
    r"|.*DNSNames.*)"
)
"""Fields that tell nothing of a flag's effect: ids, times, paths."""
_ALIKE: Final[dict[str, Callable[[Any], Any]]] = {
    ".HostConfig.Runtime": lambda name: "<default>" if name in ("runc", "sampan", "io.containerd.runc.v2") else name,
    ".Config.Env": lambda variables: sorted(variables or ()),  # the client keeps them in a map
    ".HostConfig.Binds": lambda binds: binds and sorted(binds),  # these too
}


def _note(made: dict[str, Row], containers: list[dict[str, Any]]) -> None:
    """Into each container's row, what of its inspect is not as in the first one's."""
    first: dict[str, Any] = {}
    for shown in containers:
        shown["Mounts"].sort(key=lambda mount: mount["Destination"])  # in a map too
        leaves = dict(_leaves(shown, ""))
        different = (key for key in sorted({*leaves, *first}) if leaves.get(key) != first.get(key))
        made[shown["Name"][1:]].inspect = {key: leaves.get(key) for key in different}
        first = first or leaves


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    elif not _CHANGING.fullmatch(path):
        yield path, _ALIKE.get(path, lambda same: same)(value)


def _remove(docker: Docker, name: str, what: str) -> None:
    chosen = f"reference={name}*" if what == "image" else f"name={name}"
    _, out, _ = docker([what, "ls", "-q", "--filter", chosen, *(["-a"] if what == "container" else [])])
    if out.split():
        docker([what, "rm", "-f", *(["-v"] if what == "container" else []), *out.split()])
