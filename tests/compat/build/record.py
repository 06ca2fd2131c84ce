"""Record what BuildKit makes of the corpus: `python -m tests.compat.build.record [name …]`.

Beside it what dockerd's classic builder says while it builds some of it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...support.hosts import Result, run
from ...support.peer import Peer
from .cases import CASES, CLASSIC, FAILURES, Case
from .observe import observe
from .origins import Origins, context

Docker = Callable[..., Result]
GOLDENS = Path(__file__).with_name("goldens.json")


def _build(peer: Peer, words: list[str]) -> subprocess.CompletedProcess[str]:
    command = peer.inside(
        "env", f"HOME={peer.state}", "docker", "-H", peer.url, "build", "--progress=plain", "-t", "it"
    )
    return subprocess.run([*command, *words], capture_output=True, text=True, check=False)


def classic(docker: Docker, case: Case, directory: Path) -> list[list[str]]:
    """What `DOCKER_BUILDKIT=0 docker build` says, at first and with everything in the cache."""
    words = context(case, directory)
    return [said(docker("build", *flags, "-t", "it", *words)) for flags in (("--no-cache",), ())]


def said(done: Result) -> list[str]:
    """The stream's lines. Left out: intermediate images and containers, for which ours has nothing of the kind."""
    text = done.out.replace("\n\x1b[0m", "\x1b[0m\n")
    lines = [line for line in text.splitlines() if not line.startswith("Sending build context")]
    kept: list[str] = []
    for line in lines:
        if re.fullmatch(r" ---> (?:[0-9a-f]{12}|Running in .*|Removed intermediate container .*)", line):
            continue
        if line == " ---> Using cache" and not re.search(r" : (?:RUN|COPY|ADD) ", kept[-1]):
            continue  # a step that changes nothing but the configuration
        kept.append(re.sub(r"(Successfully built) [0-9a-f]{12}", r"\1 ID", line))
    return [*kept, *done.err.strip().splitlines()[-1:]] if done.status else kept


def outcome(peer: Peer, case: Case, directory: Path) -> Any:
    built = _build(peer, context(case, directory))
    if case.fails:
        assert built.returncode, f"{case.name} was built"
        return error_text(built.stderr)
    assert built.returncode == 0, f"{case.name}: {built.stderr}"
    saved = subprocess.run(["docker", "-H", peer.url, "save", "it"], capture_output=True, check=False)
    assert saved.returncode == 0, f"{case.name}: {saved.stderr.decode()}"
    archive = saved.stdout
    return observe(
        archive, 0 if case.dockerfile.startswith("FROM scratch") or "\nFROM scratch" in case.dockerfile else 1
    )


def error_text(stderr: str) -> str:
    """The last word of a failed build, without what only tells where it was said."""
    last = [line for line in stderr.splitlines() if line.startswith("ERROR: ")][-1]
    for said in ("ERROR: ", "failed to build: ", "failed to solve: "):
        last = last.removeprefix(said)
    last = re.sub(r"failed to calculate checksum of ref \S+: ", "", last)  # a random name
    return re.sub(r"/\S+/merged/", "/", last)


def classic_client(peer: Peer) -> Docker:
    def docker(*words: str) -> Result:
        environment = {"PATH": os.environ["PATH"], "HOME": str(peer.state), "DOCKER_BUILDKIT": "0"}
        return run(["docker", "-H", peer.url, *words], env=environment, timeout=300)

    return docker


def main(names: list[str]) -> None:
    goldens = json.loads(GOLDENS.read_text()) if GOLDENS.exists() else {}
    peer = Peer().start()
    origins = Origins(peer.host, peer.state / "origins")
    try:
        peer.load_busybox()
        for case in (*CASES, *FAILURES):
            kind = "failures" if case.fails else "images"
            if not names or case.name in names:
                if case.name in CLASSIC and not case.fails:
                    goldens.setdefault("classic", {})[case.name] = classic(
                        classic_client(peer), case, peer.state / f"classic-{case.name}"
                    )
                try:
                    goldens.setdefault(kind, {})[case.name] = outcome(
                        peer, case, peer.state / f"context-{kind}-{case.name}"
                    )
                except AssertionError as error:
                    print(error, file=sys.stderr)
    finally:
        GOLDENS.write_text(json.dumps(goldens, indent=1, sort_keys=True) + "\n")
        origins.close()
        peer.close()


if __name__ == "__main__":
    main(sys.argv[1:])
