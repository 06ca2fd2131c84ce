"""`docker diff`."""

from __future__ import annotations

import asyncio

from ..storage import Change
from .engine import Engine


async def changes(engine: Engine, ref: str) -> list[Change]:
    """What a container changed against its image, ordered by path."""
    container = engine.containers.get(ref)
    return await asyncio.to_thread(engine.snapshots.changes, container.id)
