"""The goldens of builds are what a real BuildKit makes now: with the tests beside this one, both live in one run."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from ...support.peer import Peer
from .cases import CASES, CLASSIC, FAILURES, Case
from .origins import Origins
from .record import GOLDENS, classic, classic_client, outcome
from .test_corpus import differences

pytestmark = pytest.mark.peer
RECORDED = json.loads(GOLDENS.read_text())


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer().start()
    origins = Origins(peer.host, peer.state / "origins")
    peer.load_busybox()
    yield peer
    origins.close()
    peer.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_images(peer: Peer, case: Case) -> None:
    found = outcome(peer, case, peer.state / f"context-images-{case.name}")
    assert not differences(case.name, json.loads(json.dumps(found)), RECORDED["images"][case.name])


@pytest.mark.parametrize(
    "case", [case for case in FAILURES if case.name in RECORDED["failures"]], ids=lambda case: case.name
)
def test_refusals(peer: Peer, case: Case) -> None:
    """Without those that BuildKit builds all the same (differences.py)."""
    assert outcome(peer, case, peer.state / f"context-failures-{case.name}") == RECORDED["failures"][case.name]


@pytest.mark.parametrize("case", [case for case in CASES if case.name in CLASSIC], ids=lambda case: case.name)
def test_the_classic_builder(peer: Peer, case: Case) -> None:
    assert classic(classic_client(peer), case, peer.state / f"classic-{case.name}") == RECORDED["classic"][case.name]
