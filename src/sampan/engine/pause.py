"""`docker pause` and `unpause`: the cgroup freezer."""

from __future__ import annotations

from ..errors import Conflict
from . import cgroups
from .engine import Engine


async def pause(engine: Engine, ref: str) -> None:
    """Freeze all processes of a running container; Conflict in Docker's words when it is not running."""
    container = engine.containers.get(ref)
    async with engine.live(container).lock:
        if container.restarting:
            raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
        if not container.running:
            raise Conflict(f"container {container.id} is not running")
        if container.paused:
            raise Conflict(f"Container {container.id} is already paused")
        await cgroups.freeze(engine, container)
        container.state.status = "paused"
        engine.containers.save(container)
        engine.container_event(container, "pause")


async def unpause(engine: Engine, ref: str) -> None:
    """Thaw a paused container; Conflict when it is not paused."""
    container = engine.containers.get(ref)
    async with engine.live(container).lock:
        if not container.paused:
            raise Conflict(f"Container {container.id} is not paused")
        await cgroups.thaw(engine, container)
        container.state.status = "running"
        engine.containers.save(container)
        engine.container_event(container, "unpause")
