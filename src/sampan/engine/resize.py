"""`docker`'s terminal resize of the container's own process."""

from __future__ import annotations

from ..errors import Conflict
from .engine import Engine


async def resize(engine: Engine, ref: str, height: int, width: int) -> None:
    """Set the terminal's size in characters; Conflict when the container does not run."""
    container = engine.containers.get(ref)
    if not container.running:
        raise Conflict(f"container {container.id} is not running")
    await engine.live(container).the_shim(container.id).resize(None, height, width)
    engine.container_event(container, "resize", height=str(height), width=str(width))
