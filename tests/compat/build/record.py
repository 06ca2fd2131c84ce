"""Record what BuildKit makes of the corpus: `python -m tests.compat.build.record [name …]`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from ...support.peer import Peer
from .cases import CASES, FAILURES, Case
from .observe import observe
from .origins import Origins, context

GOLDENS = Path(__file__).with_name("goldens.json")


def _build(peer: Peer, words: list[str]) -> subprocess.CompletedProcess[str]:
    command = peer.inside(
        "env", f"HOME={peer.state}", "docker", "-H", peer.url, "build", "--progress=plain", "-t", "it"
    )
    return subprocess.run([*command, *words], capture_output=True, text=True, check=False)


def _outcome(peer: Peer, case: Case, directory: Path) -> Any:
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


def main(names: list[str]) -> None:
    goldens = json.loads(GOLDENS.read_text()) if GOLDENS.exists() else {}
    peer = Peer().start()
    origins = Origins(peer.host, peer.state / "origins")
    try:
        peer.load_busybox()
        for case in (*CASES, *FAILURES):
            kind = "failures" if case.fails else "images"
            if not names or case.name in names:
                try:
                    goldens.setdefault(kind, {})[case.name] = _outcome(
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
