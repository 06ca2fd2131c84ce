"""The shim's life: one container, its processes, its exit."""

from __future__ import annotations

import os
import time
from _signal import SIGKILL  # type: ignore[import-not-found] # typeshed lacks it

from sampan import errors
from sampan.ocirun import RuntimeFailed
from sampan.rpc import messages

from . import creator as creators
from . import process as processes
from . import record, settling, verdict
from .cgroups import ShimCgroup
from .creator import Creator, Own
from .log import LogPump
from .loop import Loop
from .pipes import Pipes
from .process import Process
from .server import Connection, Server
from .tasks import exited, print_exception, run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from sampan.ocirun.channel import Channel

    from .external import External

    Answer = messages.FromShim
    Task = Coroutine[exited, int, Answer | int]

KILLED = 137
SETTLE_SECONDS = 1.0
"""A container that ends within a second is not worth a hand-over."""
SELDOM_SECONDS = 60.0


class Container:
    """Requests come from `server`; `phase` goes new → created → running → stopped."""

    def __init__(self, loop: Loop, container_id: str, directory: str, creator: Creator | None):
        self.loop, self.id, self.directory, self.creator = loop, container_id, directory, creator
        self.pid = os.getpid()
        self.keeper: Channel | None = None
        self.cgroup = ShimCgroup()
        self.server = Server(loop, self.on_request, self.on_idle, self.hello)
        self.phase = "new"
        self.init: Process | None = None
        self.execs: dict[str, Process] = {}
        self.state_dir = ""
        self.runner: Own | External | None = None
        self.log: LogPump | None = None
        self.exit: messages.Exited | None = None
        self.started_at = 0
        self.creating = self.doomed = self.finishing = self.ended = False
        self.lingering = 0
        self.closing: list[tuple[Connection, int]] = []

    # requests

    def hello(self) -> messages.Hello:
        return messages.Hello(pid=self.pid, container_id=self.id, init_pid=self.init.pid if self.init else 0)

    def on_request(self, connection: Connection, request: messages.ToShim, fds: list[int]) -> None:
        run(self._answer(connection, request, fds))

    async def _answer(self, connection: Connection, request: messages.ToShim, fds: list[int]) -> None:
        passed: list[int] = []
        try:
            if isinstance(request, messages.Close):
                self.close(connection, request.serial)
                return
            if isinstance(request, messages.Netns):
                passed.append(self.netns())
            answer = await self._handle(request, fds)
        except RuntimeFailed as error:
            code = error.exit_code if error.exit_code > 1 else verdict.exit_code(str(error))
            kind = "InvalidArgument" if code else "SampanError"
            text = _docker_text(request, str(error))
            answer = messages.Failure(serial=request.serial, kind=kind, text=text, exit_code=code)
        except errors.SampanError as error:
            answer = messages.Failure(serial=request.serial, kind=type(error).__name__, text=str(error))
        except Exception as error:  # noqa: BLE001 (a bug in one request must not end the container)
            print_exception()
            answer = messages.Failure(serial=request.serial, kind="SampanError", text=str(error))
        finally:
            for fd in fds:
                os.close(fd)
        if isinstance(answer, int):
            answer = messages.Reply(serial=request.serial, value=answer)
        connection.send(answer, passed)

    def _handle(self, request: messages.ToShim, fds: list[int]) -> Task:
        handler: Callable[[Any, list[int]], Task] = _HANDLERS[type(request)].__get__(self)
        return handler(request, fds)

    def _open_log(self, setup: messages.LogSetup) -> LogPump:
        try:
            return LogPump(self.loop, setup)
        except errors.SampanError as error:
            raise type(error)(
                f"failed to create task for container: failed to initialize logging driver: {error}"
            ) from error

    async def create(self, request: messages.Create, _fds: list[int]) -> int:
        if self.phase != "new":
            raise errors.Conflict(f"container {self.id} is already created")
        self.state_dir = request.state_dir
        record.forget_exit(request.state_dir)
        if request.log is not None:
            self.log = self._open_log(request.log)
        init = Process(self.loop, None, self.log, stdin_once=request.stdin_once)
        pipes = Pipes(stdin=request.open_stdin, stdout=True, stderr=True, tty=request.tty)
        try:
            pid, terminal = await self._make(request, pipes)
        except BaseException:
            pipes.close()
            if self.log is not None:
                self.log.close()
            raise
        finally:
            self.creating = False
            if self.doomed:
                self.loop.call_later(0, self._kill)
        pipes.close_inner()
        self.init, self.phase = init, "created"
        init.open(pipes, terminal, request.console_size)
        if self.log is not None:
            self.log.on_room = init.streams.check_room
        init.watch(pid, self.on_init_exit)
        assert self.runner is not None
        record.write_running(self.directory, pid, self.cgroup.name, self.runner.command)
        return pid

    async def _make(self, request: messages.Create, pipes: Pipes) -> tuple[int, int]:
        spec = request.spec or _read_spec(request.bundle)
        if request.runtime and self.creator is not None:
            self.creator.close()
            self.creator = None
        self.cgroup.use(request.cgroup)
        self.creating = True
        if request.runtime:
            from .external import External  # and json, socket, signal with it

            self.runner = External(self.loop, request.runtime, self.id, request.bundle, self.directory)
        else:
            self.runner = Own(self.id, self.creator or creators.fork(None), self.cgroup.name)
            self.creator = None
        return await self.runner.create(request, spec, pipes)

    async def start(self, _request: messages.Start, _fds: list[int]) -> int:
        if self.phase != "created":
            raise errors.Conflict(f"container {self.id} is {self.phase}")
        assert self.runner is not None
        self.started_at = time.time_ns()
        await self.runner.start()
        if self.phase == "created":  # it may have ended while an external runtime returned
            self.phase = "running"
            self._settle_later(SETTLE_SECONDS)
        return self.started_at

    def _settle_later(self, seconds: float) -> None:
        """Hand over to the keeper as soon as the container is left alone; ask ever more seldom."""

        def try_to() -> None:
            if settling.is_quiet(self) and self.keeper is not None:
                self.keeper.send(*settling.hand_over(self))
                self.loop.stop()
            elif self.phase == "running":
                self._settle_later(min(2 * seconds, SELDOM_SECONDS))

        if self.keeper is not None:
            self.loop.call_later(seconds, try_to)

    async def exec(self, request: messages.Exec, fds: list[int]) -> int:
        if self.phase != "running" or self.init is None:
            raise errors.Conflict(f"container {self.id} is not running")
        if request.exec_id in self.execs:
            raise errors.Conflict(f"exec {request.exec_id} already runs")
        assert self.runner is not None
        child = Process(self.loop, request.exec_id, None, stdin_once=True)
        pipes = Pipes(stdin=request.stdin, stdout=request.stdout, stderr=request.stderr, tty=request.tty)
        try:
            pid, terminal = await self.runner.exec(self.init.pid, request, pipes)
        except BaseException:
            pipes.close()
            raise
        pipes.close_inner()
        self.execs[request.exec_id] = child
        child.open(pipes, terminal, (0, 0))  # it runs already: its size is in the OCI process
        if request.attached and fds:
            processes.attach(child, request, fds.pop())
        child.watch(pid, lambda status: self.on_exec_exit(child, status))
        return pid

    async def attach(self, request: messages.Attach, fds: list[int]) -> int:
        process = self.process(request.exec_id)
        if not fds:
            raise errors.InvalidArgument("attach without a socket")
        processes.attach(process, request, fds.pop())
        return 0

    async def resize(self, request: messages.Resize, _fds: list[int]) -> int:
        self.process(request.exec_id).resize(request.height, request.width)
        return 0

    async def signal(self, request: messages.Signal, _fds: list[int]) -> int:
        self.process(request.exec_id).signal(request.signo)
        return 0

    async def close_stdin(self, request: messages.CloseStdin, _fds: list[int]) -> int:
        self.process(request.exec_id).streams.close_stdin()
        return 0

    async def inspect(self, request: messages.Inspect, _fds: list[int]) -> Answer:
        return messages.Status(
            serial=request.serial,
            phase=self.phase,
            init_pid=self.init.pid if self.init else 0,
            cgroup=self.cgroup.name,
            started_at=self.started_at,
            execs={name: child.pid for name, child in self.execs.items()},
            exit=self.exit,
        )

    async def reply_netns(self, _request: messages.Netns, _fds: list[int]) -> int:
        return 0

    def netns(self) -> int:
        """An fd of the network namespace that the container has or will have."""
        if self.init is not None and self.init.status is None:
            return os.open(f"/proc/{self.init.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        if self.creator is not None and (parked := self.creator.parked()):
            return os.open(f"/proc/{parked}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        raise errors.NotFound(f"container {self.id} has no process")

    def process(self, exec_id: str | None) -> Process:
        process = self.init if exec_id is None else self.execs.get(exec_id)
        if process is None:
            raise errors.NotFound(f"no such process: {exec_id or self.id}")
        return process

    # the end

    def on_exec_exit(self, child: Process, status: int) -> None:
        finished = time.time_ns()

        self.lingering += 1

        def report() -> None:
            assert child.exec_id is not None
            child.streams.release(self._released)
            self.execs.pop(child.exec_id, None)
            self.server.broadcast(messages.Exited(exec_id=child.exec_id, status=status, finished_at=finished))

        child.streams.finish(report)

    def on_init_exit(self, status: int) -> None:
        assert self.init is not None
        self.exit = messages.Exited(
            status=status,
            oom_killed=self.cgroup.oom_killed(self.started_at),
            started_at=self.started_at,
            finished_at=time.time_ns(),
        )
        self.cgroup.kill()  # without a pid namespace of its own, others outlive init
        self.init.streams.finish(self.on_drained)

    def on_drained(self) -> None:
        """All output is sent, and given to the log."""
        if self.log is not None:
            self.log.close(self.on_logged)
        else:
            self.on_logged()

    def on_logged(self) -> None:
        assert self.exit is not None
        self.phase = "stopped"
        # A connected daemon commits the exit to its database; the file's fsync is for when there is none.
        record.write_exit(self.state_dir, self.exit, durable=not self.server.connections)
        self.server.broadcast(self.exit)
        if self.closing or not self.server.connections:
            self.finish()

    def on_idle(self) -> None:
        """The last daemon has gone: a running container goes on, anything else is of no use to anyone."""
        if self.phase == "stopped":
            self.finish()
        elif self.phase != "running":
            self._kill()

    def close(self, connection: Connection, serial: int) -> None:
        self.closing.append((connection, serial))
        if self.phase == "stopped":
            self.finish()
        else:
            self._kill()

    def _kill(self) -> None:
        if self.creating:
            self.doomed = True  # an external runtime is at work: what it makes is to be taken back
        elif self.init is None:
            self.finish()
        elif self.init.status is None and self.phase == "created" and isinstance(self.runner, Own):
            # Init is the creator's child until the start: that one kills and reaps it.
            self.runner.abandon(self.loop, lambda: self.init_ended(KILLED))
        elif self.init.status is None:
            self.init.signal(SIGKILL)

    def init_ended(self, status: int) -> None:
        assert self.init is not None
        self.init.status = status
        self.on_init_exit(status)

    def finish(self) -> None:
        """Leave nothing behind and end; once."""
        if self.finishing:
            return
        self.finishing = True
        if self.creator is not None:
            self.creator.close()
        if self.init is not None:
            self.lingering += 1
            self.init.streams.release(self._released)
        if self.runner is not None:
            run(self._finish_runner())
        else:
            self._end()

    async def _finish_runner(self) -> None:
        assert self.runner is not None
        await self.runner.delete()
        self._end()

    def _end(self) -> None:
        self.cgroup.remove()
        self.server.close()
        record.remove(self.directory)
        for connection, serial in self.closing:
            connection.send(messages.Reply(serial=serial))
        for connection in tuple(self.server.connections):
            connection.close()  # what is left to do is for clients only
        self.ended = True
        self._stop()

    def _released(self) -> None:
        self.lingering -= 1
        self._stop()

    def _stop(self) -> None:
        """End, unless a client has still to read what was written for it; nothing else is left by then."""
        if self.ended and not self.lingering:
            self.loop.stop()


_HANDLERS: dict[type[messages.Request], Any] = {
    messages.Create: Container.create,
    messages.Start: Container.start,
    messages.Exec: Container.exec,
    messages.Attach: Container.attach,
    messages.Resize: Container.resize,
    messages.Signal: Container.signal,
    messages.CloseStdin: Container.close_stdin,
    messages.Inspect: Container.inspect,
    messages.Netns: Container.reply_netns,
}


_NO_DIRECTORY = (
    ": Are you trying to mount a directory onto a file (or vice-versa)? "
    "Check if the specified host path exists and is the expected type"
)


def _docker_text(request: messages.ToShim, text: str) -> str:
    """As dockerd words what runc says."""
    if text.endswith("not a directory"):
        text += _NO_DIRECTORY
    if isinstance(request, messages.Exec):
        text = text.replace("error during container init: ", "")
        return f"OCI runtime exec failed: exec failed: {text}"
    return (
        "failed to create task for container: failed to create shim task: "
        f"OCI runtime create failed: runc create failed: {text.removeprefix('runc create failed: ')}"
    )


def _read_spec(bundle: str) -> str:
    with open(f"{bundle}/config.json", encoding="utf-8") as file:
        return file.read()
