"""Record what a real dockerd answers: `python -m tests.compat.record COMMAND…` (the docker command that reaches it).

Writes `golden/<session>.json` with the version of the daemon that answered. It needs `busybox` there. Without COMMAND
the sessions are played that want a dockerd of their own: containerd's image store, other settings.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec

from ..support.peer import Peer
from .sessions import FLAGS, Answer, play, sessions

GOLDEN = Path(__file__).parent / "golden"


class Golden(msgspec.Struct):
    """One file: who answered, and what."""

    version: str
    answers: list[Answer]


CONTAINERD: Final = frozenset({"platforms"})
"""Sessions that Docker's classic store has no answer to."""


def main(command: list[str]) -> None:
    """Play every session against the peer."""
    if command:
        _record(command, set(sessions()) - set(FLAGS) - CONTAINERD)
        return
    _record_on(Peer("--feature", "containerd-snapshotter=true"), CONTAINERD)
    for session, flags in FLAGS.items():
        _record_on(Peer(*flags), {session})


def _record_on(peer: Peer, chosen: Collection[str]) -> None:
    peer.start()
    try:
        peer.load_busybox()
        _record(["docker", "-H", peer.url], chosen)
    finally:
        peer.close()


def _record(command: list[str], chosen: Collection[str]) -> None:

    def docker(variables: list[str], arguments: list[str]) -> tuple[int, str, str]:
        argv = ["env", *variables, *command, *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, done.stdout, done.stderr

    _, version, _ = docker([], ["version", "--format", "{{.Server.Version}}"])
    for session in sorted(chosen):
        golden = Golden(version.strip(), play(session, docker, f"golden{os.getpid()}"))
        data = msgspec.json.format(msgspec.json.encode(golden), indent=1)
        (GOLDEN / f"{session}.json").write_bytes(data + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
