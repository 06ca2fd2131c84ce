"""Requests that overtake each other: whoever comes second waits for the first, and nothing is left between them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sampan.engine import remove, start, stop
from sampan.engine.container import Container
from sampan.engine.engine import Engine
from sampan.errors import Conflict, SampanError
from sampan.model.container import HostConfig, RestartPolicy

from ...support import engine as support
from ...support import leaks
from ...support.clock import FakeClock


def nothing_of(engine: Engine, container: Container) -> bool:
    groups = [path for path in leaks.groups_below(leaks.CGROUP_PARENT) if path.name == container.id]
    held = engine.snapshots.exists(container.id) or Path(engine.paths.shim(container.id)).exists()
    return container.id not in engine.containers and not groups and not held


async def test_removal_waits_for_a_start_that_is_under_way(engine: Engine) -> None:
    forced = await support.make(engine, "sleep", "1000")
    await asyncio.gather(start.start(engine, forced.id), remove.remove(engine, forced.id, force=True))
    assert nothing_of(engine, forced)
    kept = await support.make(engine, "sleep", "1000")
    _, refused = await asyncio.gather(
        start.start(engine, kept.id), remove.remove(engine, kept.id), return_exceptions=True
    )
    assert isinstance(refused, Conflict) and "container is running" in str(refused)
    assert kept.running and engine.live(kept).shim is not None
    await remove.remove(engine, kept.id, force=True)
    assert nothing_of(engine, kept)


@pytest.mark.parametrize("how", ["stop", "remove"])
async def test_a_restart_that_is_under_way_is_ended_too(directory: Path, how: str) -> None:
    clock = FakeClock()
    async with support.opened(directory, clock) as engine:
        policy = HostConfig(network_mode="none", restart_policy=RestartPolicy(name="always"))
        script = "test -e /again && exec sleep 1000; touch /again"
        container = await support.make(engine, "sh", "-c", script, host=policy)
        await start.start(engine, container.id)
        live = engine.live(container)
        await clock.next()
        while not live.lock.locked():
            await asyncio.sleep(0)
        assert container.restarting and live.restart is None
        if how == "stop":
            await stop.stop(engine, container.id, timeout=0)
            assert container.state.status == "exited" and container.state.stopped_by_user and live.shim is None
            await remove.remove(engine, container.id)
        else:
            await remove.remove(engine, container.id, force=True)
        assert nothing_of(engine, container)


async def test_a_start_that_cannot_be_recorded_is_undone(engine: Engine) -> None:
    container = await support.make(engine, "sleep", "1000")
    engine.db.execute("CREATE TEMP TRIGGER full BEFORE UPDATE ON container BEGIN SELECT RAISE(ABORT, 'x'); END")
    engine.db.execute("CREATE TEMP TRIGGER fuller BEFORE INSERT ON container BEGIN SELECT RAISE(ABORT, 'x'); END")
    try:
        with pytest.raises(Exception, match="x"):
            await start.start(engine, container.id)
    finally:
        engine.db.execute("DROP TRIGGER full")
        engine.db.execute("DROP TRIGGER fuller")
    assert not container.running and engine.live(container).shim is None
    await start.start(engine, container.id)
    await remove.remove(engine, container.id, force=True)
    assert nothing_of(engine, container)
    with pytest.raises(SampanError):
        await start.start(engine, container.id)
