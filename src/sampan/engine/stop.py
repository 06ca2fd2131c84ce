"""`docker stop`: the stop signal, patience, then SIGKILL (docs/stop.md)."""

from __future__ import annotations

from ..errors import NotModified
from . import signals
from .container import Container
from .engine import Engine
from .kill import kill_and_wait, mark_stopped, send, stop_restarting, stop_signal

DEFAULT_TIMEOUT = 10


async def stop(engine: Engine, ref: str, signal: str | None = None, timeout: int | None = None) -> None:
    """Stop a container; `timeout` in seconds, negative for ever. NotModified when it is stopped already."""
    container = engine.containers.get(ref)
    if await stop_restarting(engine, container):
        engine.container_event(container, "stop")
        return
    if not container.running:
        raise NotModified(f"container {container.id} is already stopped")
    mark_stopped(engine, container)
    await stop_running(engine, container, signal, timeout)


async def stop_running(engine: Engine, container: Container, signal: str | None, timeout: int | None) -> None:
    """As `stop`, without noting that the user wants it down (`restart` uses it so)."""
    number = signals.number(signal) if signal else stop_signal(container)
    patience = _patience(container, timeout)
    ticket = engine.live(container).ticket("next-exit")
    try:
        await send(engine, container, number)
        await ticket.result(patience)
    except TimeoutError:
        await kill_and_wait(engine, container)
    finally:
        ticket.close()
    engine.container_event(container, "stop")


def _patience(container: Container, timeout: int | None) -> float | None:
    if timeout is None:
        configured = container.config.stop_timeout
        timeout = configured if isinstance(configured, int) else DEFAULT_TIMEOUT
    return None if timeout < 0 else float(timeout)
