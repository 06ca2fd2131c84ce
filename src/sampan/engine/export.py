"""`docker export`: a container's tree without its volumes, as a tar."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from ..storage import whole_tree
from . import userns
from .bodies import in_threads
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
