"""`docker export`: a container's tree without its volumes, as a tar."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

from ..storage import whole_tree
from . import userns
from .engine import Engine


async def export(engine: Engine, ref: str) -> AsyncIterator[bytes]:
    """The chunks of the archive. The container may run meanwhile: each file is then as it was when it was read."""
    container = engine.containers.get(ref)
    root = os.open(userns.mount(engine, container), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    mapping = userns.ids(engine, container)
    chunks = whole_tree(root, owner=mapping.to_container if mapping else None)
    try:
        async for chunk in in_threads(chunks):
            yield chunk
    finally:
        os.close(root)
        engine.snapshots.unmount(container.id)
    engine.container_event(container, "export")


async def in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """An iterator that reads the disk, each step in a thread; one that was cancelled ends before its files close."""
    step: asyncio.Task[bytes] | None = None
    try:
        while True:
            step = asyncio.create_task(asyncio.to_thread(next, chunks, b""))
            chunk = await asyncio.shield(step)
            if not chunk:
                return
            yield chunk
    finally:
        if step is not None and not step.done():
            await asyncio.wait({step})
