"""File systems that nobody has deleted from: ext4 creates files several times slower where much was deleted."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.daemon import Daemon
from tests.support.peer import Peer

SIZE = 4 << 30


@contextmanager
def fresh(directory: Path) -> Iterator[None]:
    """An empty ext4 on `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir="/var/tmp", prefix="bench-disk-") as image:
        image.truncate(SIZE)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", image.name], check=True)
        subprocess.run(["mount", "-o", "loop", image.name, str(directory)], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", str(directory)], check=True)


@contextmanager
def sampan() -> Iterator[Daemon]:
    """Our daemon with its data on a fresh file system."""
    daemon = Daemon()
    with fresh(daemon.data_root):
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.close()


@contextmanager
def dockerd() -> Iterator[Peer]:
    """Debian's dockerd with its data on a fresh file system."""
    peer = Peer()
    outer = peer.state
    with fresh(outer):
        peer.state = outer / "state"
        peer.state.mkdir()
        peer.socket = str(peer.state / "d.sock")
        peer.start()
        try:
            yield peer
        finally:
            peer.close()
    outer.rmdir()
