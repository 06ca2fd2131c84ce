"""`docker kill`, and the SIGKILL at the end of `stop` and of `rm -f`."""

from __future__ import annotations

from signal import SIGKILL

from ..errors import Conflict, NotFound, SampanError
from ..runtime import ShimGone
from . import cgroups, copies, signals
from .container import Container
from .engine import Engine

KILL_SECONDS = 10.0


async def kill(engine: Engine, ref: str, signal: str | None = None) -> None:
    """Send a signal (SIGKILL by default; names as `docker kill -s`) to a running container; Conflict when it is not."""
    container = engine.containers.get(ref)
    try:
        number = signals.number(signal) if signal else SIGKILL
    except SampanError as error:
        raise type(error)(f"cannot kill container: {ref}: {error}") from error
    if number == SIGKILL and await stop_restarting(engine, container):
        return
    if not container.running:
        raise Conflict(f"cannot kill container: {ref}: container {container.id} is not running")
    if number in (SIGKILL, stop_signal(container)):
        mark_stopped(engine, container)
    if number == SIGKILL:
        await kill_and_wait(engine, container)
    else:
        await send(engine, container, number)


def stop_signal(container: Container) -> int:
    """What `stop` sends first."""
    return signals.number(container.config.stop_signal or "SIGTERM")


def mark_stopped(engine: Engine, container: Container) -> None:
    """The user ended it: restart policies honour that, beyond a restart of the daemon too."""
    if not container.state.stopped_by_user:
        container.state.stopped_by_user = True
        engine.containers.save(container)
        copies.refresh(engine, container)


async def stop_restarting(engine: Engine, container: Container) -> bool:
    """A container that waits for its restart stays down → True; False when it does not wait, or has just come up."""
    live = engine.live(container)
    while container.restarting:
        live.cancel_restart()
        async with live.lock:  # the restart may be under way
            if container.restarting and live.restart is None:
                container.state.status = "exited"
                mark_stopped(engine, container)
                engine.containers.save(container)
                return True
    return False


async def send(engine: Engine, container: Container, number: int) -> None:
    """One signal to init, with its event; a container that ended meanwhile is no error."""
    shim = engine.live(container).shim
    if shim is None:
        return
    try:
        await shim.signal(None, number)
    except (NotFound, ShimGone):
        return
    engine.container_event(container, "kill", signal=str(number))
    if container.paused and number in (SIGKILL, stop_signal(container)):
        # A frozen process dies when it thaws.
        await cgroups.thaw(engine, container)


async def kill_and_wait(engine: Engine, container: Container) -> None:
    """SIGKILL, and wait for the end to be recorded; SampanError when the kernel does not let the process go."""
    live = engine.live(container)
    async with live.lock:  # a start under way comes first
        if live.shim is None:
            return
        ticket = live.ticket("next-exit")
    await send(engine, container, SIGKILL)
    try:
        await ticket.result(KILL_SECONDS)
    except TimeoutError:
        raise SampanError(
            f"cannot kill container: {container.id}: tried to kill container, but did not receive an exit event"
        ) from None
    finally:
        ticket.close()
