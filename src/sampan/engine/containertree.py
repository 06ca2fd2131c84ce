"""A container's tree with its volumes and binds, opened for cp; the same for running and stopped containers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..tree.private import Bind, PrivateTree
from . import userns
from .container import Container
from .engine import Engine
from .etc import FILES


@asynccontextmanager
async def opened(engine: Engine, container: Container) -> AsyncIterator[PrivateTree]:
    """The tree as the container's own root would show it, but for tmpfs and what it mounted itself."""
    root = userns.mount(engine, container)
    try:
        async with _volumes(engine, container) as binds:
            tree = await asyncio.to_thread(PrivateTree, root, binds, userns.ids(engine, container))
            try:
                yield tree
            finally:
                tree.close()
    finally:
        engine.snapshots.unmount(container.id)


@asynccontextmanager
async def _volumes(engine: Engine, container: Container) -> AsyncIterator[list[Bind]]:
    user = f"archive-{os.urandom(8).hex()}"
    mounted: list[str] = []
    directory = engine.paths.container(container.id)
    binds = [Bind(f"{directory}/{name}", f"/etc/{name}") for name in FILES if container.has_been_started]
    try:
        for point in container.mounts:
            if point.type == "volume" and engine.volumes.exists(point.name):
                source = await engine.volumes.mount(point.name, user)
                mounted.append(point.name)
                binds.append(Bind(source, point.destination, point.rw, point.spec_subpath))
            elif point.type == "bind":
                binds.append(Bind(point.source, point.destination, point.rw))
        yield sorted(binds, key=lambda bind: bind.destination.count("/"))
    finally:
        for name in mounted:
            await engine.volumes.unmount(name, user)
