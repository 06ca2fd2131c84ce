"""`docker restart`."""

from __future__ import annotations

from ..errors import NotModified, SampanError
from . import stop
from .container import Container
from .engine import Engine
from .start import start


async def restart(engine: Engine, ref: str, signal: str | None = None, timeout: int | None = None) -> None:
    """Stop a container when it runs, then start it; one with `--rm` survives the stop in between."""
    container = engine.containers.get(ref)
    try:
        await _restart(engine, container, signal, timeout)
    except SampanError as error:
        error.args = (f"Cannot restart container {ref}: {error}",)
        raise
    engine.container_event(container, "restart")


async def _restart(engine: Engine, container: Container, signal: str | None, timeout: int | None) -> None:
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
