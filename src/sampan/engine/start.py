"""`docker start` (docs/start.md)."""

from __future__ import annotations

from ..errors import NotModified
from . import copies, removal
from .container import Container
from .engine import Engine
from .launch import launch, refuse_start


async def start(engine: Engine, ref: str) -> None:
    """Start a container; NotModified when it runs. Errors carry Docker's text, and the record its exit code."""
    container = engine.containers.get(ref)
    live = engine.live(container)
    async with live.lock:
        refuse_start(container, live)
        if container.running:
            raise NotModified(f"container {container.id} is already running")
        live.cancel_restart()
        was_stopped = container.state.stopped_by_user
        _forget_last_run(container)
        try:
            await launch(engine, container)
        except Exception:  # whatever it was: a client waits for the removal
            await _remove_if_asked(engine, container)
            raise
        if was_stopped:
            copies.refresh(engine, container)


def _forget_last_run(container: Container) -> None:
    container.state.restart_count = 0
    container.state.stopped_by_user = False
    container.state.error = ""


async def _remove_if_asked(engine: Engine, container: Container) -> None:
    if container.host_config.auto_remove and not engine.live(container).keep:
        await removal.finish(engine, container, volumes=True)
