"""The system tests' daemon, for comparisons too, and a real Docker Engine beside one of ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.conftest import _shared, daemon, make_daemon, name

from ..support.daemon import Daemon
from ..support.peer import Peer

__all__ = ["_shared", "both", "daemon", "make_daemon", "name"]


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Daemon, Peer]]:
    """Ours and the real one, each with busybox."""
    peer, ours = Peer().start(), Daemon().start()
    peer.load_busybox()
    ours.load_busybox()
    yield ours, peer
    peer.close()
    ours.close()
