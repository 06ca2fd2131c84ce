"""What a client hands over is dropped when nobody comes for it, and not before."""

from __future__ import annotations

import asyncio

import pytest

from sampan.build import handover
from sampan.errors import NotFound


async def test_a_request_that_lasts_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "PATIENCE", 0.02)
    handovers, gone = handover.Handovers(), asyncio.Event()
    made = handovers.begin(None)  # type: ignore[arg-type] # an engine is needed for contexts only
    made.stack.callback(gone.set)
    with handovers.using(made.id), handovers.using(made.id) as same:
        await asyncio.sleep(0.2)  # an upload, ten times as long as its patience
        assert same is made and handovers.get(made.id) is made and not gone.is_set()
    await asyncio.wait_for(gone.wait(), 60)
    with pytest.raises(NotFound):
        handovers.get(made.id)
    await handovers.close()


async def test_whoever_takes_it_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    handovers, gone = handover.Handovers(), asyncio.Event()
    made = handovers.begin(None)  # type: ignore[arg-type]
    made.stack.callback(gone.set)
    with handovers.using(made.id):
        assert handovers.take(made.id) is made
    assert not gone.is_set() and handovers.lender(made.id) is made
    await handovers.close()
    assert not gone.is_set()
    await made.stack.aclose()
    assert gone.is_set()


async def test_it_goes_with_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """And so does what a build gave for it; while a client is connected nothing expires."""
    monkeypatch.setattr(handover, "PATIENCE", 0.02)
    handovers, gone = handover.Handovers(), [asyncio.Event() for _ in range(3)]
    made = handovers.begin(None)  # type: ignore[arg-type]
    other = handovers.begin(None)  # type: ignore[arg-type]
    with handovers.watching(made.id):
        delivery = handover.Handover(None, made.id)  # type: ignore[arg-type]
        handovers.offer(delivery)
        for one, event in zip((made, delivery, other), gone, strict=True):
            one.stack.callback(event.set)
        await asyncio.wait_for(gone[2].wait(), 60)  # the one that nobody watches
        assert handovers.get(made.id) is made and handovers.get(delivery.id) is delivery
        monkeypatch.setattr(handover, "PATIENCE", 300.0)
        handovers.get(delivery.id)
        uploading = handovers.using(made.id)
        uploading.__enter__()
    await asyncio.wait_for(gone[1].wait(), 60)
    assert not gone[0].is_set(), "a request that is under way ends first"
    uploading.__exit__(None, None, None)
    await asyncio.wait_for(gone[0].wait(), 60)
    await handovers.close()
