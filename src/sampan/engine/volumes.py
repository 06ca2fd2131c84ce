"""Use cases of volumes: the store's own, with events."""

from __future__ import annotations

import asyncio

from ..volume.volume import Volume
from ..volume.volumes import Pruned
from .engine import Engine

Filters = dict[str, list[str]]


def create(
    engine: Engine, name: str, driver: str, options: dict[str, str] | None, labels: dict[str, str] | None
) -> Volume:
    """Make a volume; an existing one of that name is returned as it is."""
    existed = bool(name) and engine.volumes.exists(name)
    volume = engine.volumes.create(name, driver, options, labels)
    if not existed:
        _event(engine, "create", volume)
    return volume


def inspect(engine: Engine, name: str) -> Volume:
    """A volume with what its driver says about it; NotFound in Docker's words."""
    return engine.volumes.status(engine.volumes.get(name))


def remove(engine: Engine, name: str, *, force: bool = False) -> None:
    """Remove a volume that no container has."""
    volume = engine.volumes.get(name) if engine.volumes.exists(name) else None
    if engine.volumes.remove(name, force) and volume is not None:
        _event(engine, "destroy", volume)


def prune(engine: Engine, filters: Filters) -> Pruned:
    """Remove unused volumes; see `Volumes.prune`."""
    known = {volume.name: volume for volume in engine.volumes.list()}
    pruned = engine.volumes.prune(filters)
    for name in pruned.names:
        _event(engine, "destroy", known[name])
    engine.events.publish("volume", "prune", "", {"reclaimed": str(pruned.bytes)})
    return pruned


async def sizes(engine: Engine) -> dict[str, int]:
    """Octets of every volume; walked in a thread."""
    volumes = engine.volumes.list()
    return await asyncio.to_thread(lambda: {volume.name: engine.volumes.size(volume) for volume in volumes})


def _event(engine: Engine, action: str, volume: Volume) -> None:
    engine.events.publish("volume", action, volume.name, {"driver": volume.driver})
