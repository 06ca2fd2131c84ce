"""The use cases of volumes: Docker's, and rename, copy, snapshot, restore, export, import."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..cas.compression import Decompressed
from ..cas.threads import run_in_thread
from ..errors import Conflict
from ..model.filters import Filters
from ..volume import Pruned, Volume, copies
from .bodies import fed, in_threads
from .engine import Engine


def _publish(engine: Engine, action: str, volume: Volume, **attributes: str) -> None:
    engine.events.publish("volume", action, volume.name, {"driver": volume.driver, **attributes})


async def create(
    engine: Engine, name: str, driver: str, options: dict[str, str] | None, labels: dict[str, str] | None
) -> Volume:
    """`docker volume create`; an existing volume of that name and driver is returned as it is."""
    known = bool(name) and engine.volumes.exists(name)
    volume = await engine.volumes.create(name, driver, options, labels)
    if not known:
        _publish(engine, "create", volume)
    return volume


async def inspect(engine: Engine, name: str) -> Volume:
    """With what the driver says about it."""
    return await engine.volumes.status(engine.volumes.get(name))


async def remove(engine: Engine, name: str, *, force: bool = False) -> None:
    """`docker volume rm`."""
    known = engine.volumes.get(name) if engine.volumes.exists(name) else None
    if await engine.volumes.remove(name, force) and known is not None:
        _publish(engine, "destroy", known)


async def prune(engine: Engine, filters: Filters) -> Pruned:
    """`docker volume prune`; sizes are measured in a thread."""
    removed, freed = [], 0
    for volume in engine.volumes.prunable(filters):
        size = await asyncio.to_thread(engine.volumes.size, volume)
        if engine.volumes.users(volume.name) or not await engine.volumes.remove(volume.name, force=True):
            continue  # somebody was quicker
        _publish(engine, "destroy", volume)
        removed.append(volume.name)
        freed += size
    engine.events.publish("volume", "prune", "", {"reclaimed": str(freed)})
    return Pruned(removed, freed)


async def sizes(engine: Engine) -> dict[str, int]:
    """Octets of every volume; walked in a thread."""
    volumes = engine.volumes.list()
    return await asyncio.to_thread(lambda: {volume.name: engine.volumes.size(volume) for volume in volumes})


def rename(engine: Engine, name: str, new: str) -> Volume:
    """Another name for a volume that no container has."""
    volume = engine.volumes.rename(name, new)
    _publish(engine, "rename", volume, oldName=name)
    return volume


@asynccontextmanager
async def mounted(engine: Engine, name: str) -> AsyncIterator[str]:
    """The path of a volume's data while something is done with it."""
    user = f"copy-{os.urandom(8).hex()}"
    path = await engine.volumes.mount(name, user)
    try:
        yield path
    finally:
        await engine.volumes.unmount(name, user)


async def copy(engine: Engine, name: str, new: str) -> Volume:
    """A new volume with the same options, labels and data."""
    origin = engine.volumes.get(name)
    if engine.volumes.exists(new):
        raise Conflict(f"copy {name}: volume {new} exists")
    made = await create(engine, new, origin.driver, origin.options, origin.labels)
    try:
        async with mounted(engine, name) as source, mounted(engine, new) as target:
            await asyncio.to_thread(copies.copy_contents, source, target)
    except BaseException:
        await remove(engine, new, force=True)
        raise
    engine.volumes.mark_copied(new)
    return made


async def snapshot(engine: Engine, name: str, snapshot_name: str) -> None:
    """Keep the volume's present state under a name."""
    volume = engine.volumes.get(name)
    async with mounted(engine, name):
        await asyncio.to_thread(copies.snapshot, engine.volumes.local, volume, snapshot_name)
    _publish(engine, "snapshot", volume, snapshot=snapshot_name)


def snapshots(engine: Engine, name: str) -> list[str]:
    """The names of a volume's snapshots."""
    return copies.snapshots(engine.volumes.local, engine.volumes.get(name))


async def remove_snapshot(engine: Engine, name: str, snapshot_name: str) -> None:
    """Drop a snapshot."""
    await asyncio.to_thread(copies.remove_snapshot, engine.volumes.local, engine.volumes.get(name), snapshot_name)


async def restore(engine: Engine, name: str, snapshot_name: str) -> None:
    """Back to a snapshot's state; Conflict while a container that runs has the volume."""
    running = [one for one in engine.volumes.users(name) if engine.containers.get(one).running]
    if running:
        raise Conflict(f"restore {name}: volume is in use - [{', '.join(running)}]")
    volume = await engine.volumes.restore(name, snapshot_name)
    _publish(engine, "restore", volume, snapshot=snapshot_name)


async def export(engine: Engine, name: str) -> AsyncIterator[bytes]:
    """The volume's data as a tar, chunk by chunk."""
    async with mounted(engine, name) as path:
        async for chunk in in_threads(copies.export(path)):
            yield chunk


async def import_tar(engine: Engine, name: str, body: AsyncIterator[bytes]) -> None:
    """Extract a tar (compressed or not) into a volume, made when it does not exist."""
    if not engine.volumes.exists(name):
        await create(engine, name, "", None, None)
    async with mounted(engine, name) as path, fed(body) as stream:
        await run_in_thread(lambda: copies.import_tar(path, Decompressed(stream)), stream.interrupt)
    engine.volumes.mark_copied(name)
