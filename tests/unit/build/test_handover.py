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
