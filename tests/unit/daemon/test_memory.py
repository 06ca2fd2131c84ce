"""What the daemon does about its memory."""

from __future__ import annotations

import asyncio
import gc

from sampan.daemon import memory


async def test_collection_begins_once_the_daemon_has_settled(monkeypatch):
    monkeypatch.setattr(memory, "SETTLE_SECONDS", 0.0)
    frozen = gc.get_freeze_count()
    settling = memory.Settling(asyncio.get_running_loop())
    try:
        memory.begin()
        assert not gc.isenabled()
        settling.touch()
        settling.touch()
        await asyncio.sleep(0.01)
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()
        gc.enable()
        settling.close()
