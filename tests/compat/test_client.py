"""Our client says what the stock docker client says, word for word, of a real Docker Engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.peer import Peer
from ..support.twins import SECTION, Twins, lines

pytestmark = [pytest.mark.peer, pytest.mark.xdist_group("client-peer")]


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer().start()
    peer.load_busybox()
    yield peer
    peer.close()


@pytest.mark.parametrize("section", SECTION)
def test_same_answers(section: str, peer: Peer, tmp_path: Path) -> None:
    twins = Twins(peer.url, tmp_path)
    differences = [twins.difference(line) for line in lines(section)]
    assert not [difference for difference in differences if difference]
