"""`docker exec`: further processes in a running container."""

from __future__ import annotations

import asyncio
import signal
import socket
import time

from msgspec import Struct

from .. import faults
from ..errors import Conflict, InvalidArgument, NotFound, SampanError
from ..runtime import CommandFailed, ExecProcess, Exit, ShimGone, bundle, exit_code, users
from . import detach, naming, spec
from .attach import Attachment
from .container import Container
from .detach import DetachKeys
from .engine import Engine
from .exec_config import ExecConfig

FINISHED_KEPT = 256
"""How many ended execs stay inspectable."""
WAITING_KEPT = 1024
"""How many execs of a container may wait for their start; beyond that the oldest is forgotten. dockerd has no limit."""


class Exec(Struct, kw_only=True):
    """One exec; `exit_code` is None until it has ended, `pid` is the host's, 0 when not running."""

    id: str
    container_id: str
    config: ExecConfig
    running: bool = False
    started: bool = False
    exit_code: int | None = None
    pid: int = 0
    finished_ns: int = 0


class ExecStart(Struct, frozen=True):
    """The body of `POST /exec/{id}/start`; `console_size` is (height, width).

    `tty`: the client wants one plain stream; without a terminal that is the standard output.
    """

    detach: bool = False
    tty: bool = False
    console_size: tuple[int, int] = (0, 0)


def create(engine: Engine, ref: str, config: ExecConfig) -> str:
    """Register an exec, to be started by its id; Conflict when the container does not run or is paused."""
    container = engine.containers.get(ref)
    if not config.cmd:
        raise InvalidArgument("No exec command specified")
    detach.parse(config.detach_keys, "escape")
    _refuse(container, ref)
    if config.user:
        users.resolve(engine.live(container).rootfs, config.user, [])
    process = Exec(id=naming.new_id(), container_id=container.id, config=config)
    known = engine.live(container).execs
    if len(known) >= WAITING_KEPT:
        _forget_waiting(engine, container, keep=WAITING_KEPT - 1)
    engine.execs[process.id] = process
    known[process.id] = process
    _event(engine, container, process, f"exec_create: {_shown(config.cmd)}")
    return process.id


def _refuse(container: Container, ref: str) -> None:
    if container.restarting:
        raise Conflict(f"Container {ref} is restarting, wait until the container is running")
    if not container.running:
        raise Conflict(f"container {container.id} is not running")
    if container.paused:
        raise Conflict(f"Container {ref} is paused, unpause the container before exec")


def _shown(cmd: list[str] | None) -> str:
    """A command in events: tools cut it off the program's name at the first space, which is always there."""
    program, *arguments = cmd or [""]
    return f"{program} {' '.join(arguments)}"


def _event(engine: Engine, container: Container, process: Exec, action: str, **attributes: str) -> None:
    engine.container_event(container, action, execID=process.id, **attributes)


def _forget_waiting(engine: Engine, container: Container, keep: int) -> None:
    """Forget the oldest execs that nobody has started."""
    known = engine.live(container).execs
    waiting = [process.id for process in known.values() if not process.started]
    for exec_id in waiting[: max(0, len(waiting) - keep)]:
        del known[exec_id], engine.execs[exec_id]


def get(engine: Engine, exec_id: str) -> Exec:
    """The record; NotFound in Docker's words."""
    try:
        return engine.execs[exec_id]
    except KeyError:
        raise NotFound(f"No such exec instance: {exec_id}") from None


async def start(engine: Engine, exec_id: str, request: ExecStart) -> Attachment | None:
    """Run it. Gives the attachment, or None when detached.

    CommandFailed (exit code 126 or 127) when the program cannot be run; the record then has that exit code.
    """
    process = get(engine, exec_id)
    container = engine.containers.get(process.container_id)
    _refuse(container, container.id)
    if process.started:
        raise Conflict(f"exec command {exec_id} has already run")
    process.started = True
    config = process.config
    wanted = not request.detach and (config.attach_stdin or config.attach_stdout or config.attach_stderr)
    pair = socket.socketpair() if wanted else None
    try:
        await _run(engine, container, process, request, pair[1] if pair else None)
    except BaseException:
        if pair:
            pair[0].close()
        raise
    finally:
        if pair:
            pair[1].close()
    return _attachment(engine, container, process, pair[0]) if pair else None


async def _run(
    engine: Engine, container: Container, process: Exec, request: ExecStart, theirs: socket.socket | None
) -> None:
    config = process.config
    shim = engine.live(container).the_shim(container.id)
    _event(engine, container, process, f"exec_start: {_shown(config.cmd)}")
    try:
        _check_directory(config)
        message = ExecProcess(
            exec_id=process.id,
            process=bundle.exec_process(spec.exec_inputs(engine, container, config, _size(request, config))),
            tty=config.tty,
            stdin=config.attach_stdin and theirs is not None,
            stdout=config.attach_stdout,
            stderr=config.attach_stderr and (config.tty or not request.tty),
        )
        process.running = True
        faults.point("engine.exec.registered")
        pid = await shim.exec(message, theirs)
        faults.point("engine.exec.running")
        if process.exit_code is None:  # its end may have been told first
            process.pid = pid
    except (SampanError, OSError) as error:
        _finish(engine, container, process, exit_code(error))
        if isinstance(error, SampanError):
            raise
        raise SampanError(str(error)) from error


def _check_directory(config: ExecConfig) -> None:
    if config.working_dir and not config.working_dir.startswith("/"):
        raise CommandFailed("OCI runtime exec failed: exec failed: Cwd must be an absolute path", 128)


def _size(request: ExecStart, config: ExecConfig) -> tuple[int, int]:
    if any(request.console_size):
        return request.console_size
    height, width = config.console_size or (0, 0)
    return height, width


def _attachment(engine: Engine, container: Container, process: Exec, ours: socket.socket) -> Attachment:
    ours.setblocking(False)
    config = process.config

    def closed(detached: bool) -> None:
        if detached:
            _event(engine, container, process, "exec_detach")

    keys = DetachKeys(detach.parse(config.detach_keys)) if config.tty and config.attach_stdin else None
    return Attachment(ours, config.tty, keys, closed)


async def result(engine: Engine, exec_id: str) -> int:
    """Wait for a started exec to end → its exit code."""
    process = get(engine, exec_id)
    if process.exit_code is None:
        live = engine.live(engine.containers.get(process.container_id))
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        live.exec_waiters.setdefault(exec_id, []).append(future)
        return await future
    return process.exit_code


async def kill(engine: Engine, exec_id: str) -> None:
    """SIGKILL to its process; one that has ended is no error."""
    process = get(engine, exec_id)
    shim = engine.live(engine.containers.get(process.container_id)).shim
    if shim is not None:
        try:
            await shim.signal(exec_id, signal.SIGKILL)
        except (NotFound, ShimGone):
            return


async def resize(engine: Engine, exec_id: str, height: int, width: int) -> None:
    """Set the terminal's size; NotFound when the process has ended."""
    process = get(engine, exec_id)
    container = engine.containers.get(process.container_id)
    await engine.live(container).the_shim(container.id).resize(exec_id, height, width)


def adopt(engine: Engine, container: Container, exec_id: str, pid: int) -> None:
    """An exec that goes on after a restart of the daemon; what it was asked to be is not known any more."""
    process = Exec(
        id=exec_id, container_id=container.id, config=ExecConfig(cmd=[""]), running=True, started=True, pid=pid
    )
    engine.execs[exec_id] = process
    engine.live(container).execs[exec_id] = process


def ended(engine: Engine, container: Container, end: Exit) -> None:
    """The shim says that an exec has ended."""
    process = engine.execs.get(end.exec_id or "")
    if process is not None and process.exit_code is None:
        _finish(engine, container, process, end.status)
        _event(engine, container, process, "exec_die", exitCode=str(end.status))


def abandon(engine: Engine, container: Container) -> None:
    """The container ended, and all its execs with it; those that wait for their start are no more, as with dockerd."""
    _forget_waiting(engine, container, keep=0)
    for process in list(engine.live(container).execs.values()):
        if process.running:
            ended(engine, container, Exit(exec_id=process.id, status=137))


def _finish(engine: Engine, container: Container, process: Exec, status: int) -> None:
    process.running = False
    process.pid = 0
    process.exit_code = status
    process.finished_ns = time.time_ns()
    live = engine.live(container)
    live.execs.pop(process.id, None)
    for waiter in live.exec_waiters.pop(process.id, ()):
        if not waiter.done():
            waiter.set_result(status)
    engine.finished_execs.append(process.id)
    while len(engine.finished_execs) > FINISHED_KEPT:
        engine.execs.pop(engine.finished_execs.popleft(), None)
