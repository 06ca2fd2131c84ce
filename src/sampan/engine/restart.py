"""`docker restart`."""

from __future__ import annotations

from ..errors import NotModified
from . import stop
from .engine import Engine
from .start import start


async def restart(engine: Engine, ref: str, signal: str | None = None, timeout: int | None = None) -> None:
    """Stop a container when it runs, then start it; one with `--rm` survives the stop in between."""
    container = engine.containers.get(ref)
    live = engine.live(container)
    if container.running:
        live.keep = True
        try:
            live.cancel_restart()
            container.state.stopped_by_user = True
            await stop.stop_running(engine, container, signal, timeout)
        finally:
            live.keep = False
    try:
        await start(engine, container.id)
    except NotModified:
        pass  # somebody else started it meanwhile
    engine.container_event(container, "restart")
