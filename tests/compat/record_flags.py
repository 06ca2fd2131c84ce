"""Record what a real dockerd makes of every flag: `python -m tests.compat.record_flags [TABLE…]`.

Starts a dockerd of its own (tests/support/peer.py) and writes `golden/flags/<table>.json` with the versions of this
machine's client and of that daemon.
"""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec

from ..support import leaks, machine
from ..support.leaks import CGROUP_PARENT
from ..support.peer import Peer
from .flagtable import GOLDEN, Golden, Places, furnish, play, tables
from .sessions import Docker


def client(places: Places) -> Docker:
    """The stock client with an environment of its own."""
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(places.data.parent), "DOCKER_HOST": f"unix://{places.socket}",
        "FROM": "client",
    }  # fmt: skip

    def docker(words: list[str]) -> tuple[int, str, str]:
        done = subprocess.run(
            ["docker", *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120
        )
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

    return docker


def start_peer() -> tuple[Peer, Places]:
    """A dockerd that knows the CDI devices of the tables."""
    peer = Peer()
    places = Places(peer.state / "flags", peer.state / "data", peer.socket, f"{CGROUP_PARENT}/peer")
    furnish(places.directory)
    peer.flags += ["--cdi-spec-dir", f"{places.directory}/cdi"]
    peer.start()
    peer.load_busybox()
    return peer, places


def record(table: str, places: Places) -> Golden:
    """What the peer answers to a table."""
    docker = client(places)
    _, versions, _ = docker(["version", "--format", "{{.Client.Version}} {{.Server.Version}}"])
    ours, theirs = versions.split()
    return Golden(ours, theirs, play(table, docker, f"t{os.getpid()}", places))


def main(wanted: list[str]) -> None:
    """Play the tables against the peer."""
    GOLDEN.mkdir(exist_ok=True)
    before = leaks.begin()
    peer, places = start_peer()
    try:
        for table in wanted or tables():
            data = msgspec.json.format(msgspec.json.encode(record(table, places)), indent=1)
            (GOLDEN / f"{table}.json").write_bytes(data + b"\n")
    finally:
        peer.close()
    left = leaks.remaining(before)
    if left:
        sys.exit("left on the machine:\n" + "\n".join(left))
    leaks.remove_session()


if __name__ == "__main__":
    machine.enter()
    main(sys.argv[1:])
