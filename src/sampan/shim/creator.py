"""Our own runtime at arm's length: what creates a container runs in a short-lived child of the shim.

CPython writes to every object that it touches, and so un-shares the pages that a forked process has from the zygote:
a shim that ran the runtime itself would own 2 MB more for as long as its container lives. The creator runs it instead
and ends with the start; container init, its child, then becomes the shim's (PR_SET_CHILD_SUBREAPER, prctl(2)).
"""

from __future__ import annotations

import os
import stat

from sampan import ocirun
from sampan.linux import fds
from sampan.ocirun import ExecFailed, RuntimeFailed
from sampan.ocirun.channel import Channel, Closed
from sampan.ocirun.namespaces import Namespaces
from sampan.rpc import documents

from .loop import forget_wakeup
from .tasks import print_exception

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sampan.rpc import messages

    from .loop import Loop
    from .pipes import Pipes

_CLONE_NEWCGROUP = 0x02000000
CONFIG = "config.json"
_filters = [""]


def keep_filters(directory: str) -> None:
    """Say, before forking, where compiled seccomp filters are kept for all containers: compiling one takes 30 ms."""
    _filters[:] = [directory]


class Creator:
    """The shim's handle of one creator; `start` or `close` ends it."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        self._channel = channel

    def parked(self) -> int:
        """The pid of the parked child, 0 where there is none."""
        return int(self.call("parked")[0]["pid"])

    def call(self, verb: str, arguments: tuple[Any, ...] = (), passed: tuple[int, ...] = ()) -> tuple[Any, list[int]]:
        """Have something done → (answer, fds); raises what the runtime raised there."""
        try:
            self._channel.send((verb, arguments), passed)
            answer, received = self._channel.receive()
        except (Closed, BrokenPipeError):
            raise RuntimeFailed("the runtime's process ended early") from None
        if "exec" in answer:
            raise ExecFailed(*answer["exec"])
        if "failed" in answer:
            raise RuntimeFailed(answer["failed"])
        return answer, received

    def close(self) -> None:
        """It kills what it has not started."""
        self._channel.close()


def fork(parked_cgroup: str | None) -> Creator:
    """A creator with a child parked in this cgroup ("" for none); None parks no child."""
    ours, theirs = Channel.pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _run(theirs, parked_cgroup)
    theirs.close()
    return Creator(pid, ours)


def _run(channel: Channel, parked_cgroup: str | None) -> None:
    try:
        forget_wakeup()  # else a SIGCHLD writes into whatever gets the number of the pipe that is closed here
        fds.close_from(3, [channel.sock.fileno()])
        _Worker(channel, parked_cgroup).serve()
    except Closed:
        pass
    except BaseException:  # noqa: BLE001 (the end of the process)
        print_exception()
    finally:
        os._exit(0)


class _Worker:
    """The creator's side."""

    def __init__(self, channel: Channel, parked_cgroup: str | None) -> None:
        self._channel = channel
        self._parked = ocirun.park(cgroup=parked_cgroup) if parked_cgroup is not None else None
        self._created: ocirun.Created | None = None

    def serve(self) -> None:
        try:
            while True:
                (verb, arguments), passed = self._channel.receive()
                self._answer(_VERBS[verb], arguments, passed)
                for fd in passed:
                    os.close(fd)
                if verb in ("start", "exec"):
                    return
        finally:
            if self._parked is not None:
                self._parked.close()
            if self._created is not None:
                self._created.abandon()

    def _answer(self, verb: Any, arguments: tuple[Any, ...], passed: list[int]) -> None:
        try:
            answer, returned = verb(self, passed, *arguments)
        except ExecFailed as error:
            answer, returned = {"exec": (error.errno, error.message)}, []
        except (RuntimeFailed, OSError) as error:
            answer, returned = {"failed": str(error)}, []
        self._channel.send(answer, returned)

    def parked(self, _passed: list[int]) -> tuple[dict[str, Any], list[int]]:
        return {"pid": self._parked.pid if self._parked else 0}, []

    def create(
        self, passed: list[int], container_id: str, spec: str, bundle: str, console: bool, cgroup: str
    ) -> tuple[dict[str, Any], list[int]]:
        document = documents.loads(spec)
        if self._parked is not None and self._parked.flags != _new_namespaces(document):
            self._parked.close()
            self._parked = None
        parked, self._parked = self._parked, None
        stdin, stdout, stderr = passed
        _give_streams(document, document.get("process") or {}, passed)
        _write_config(bundle, spec)
        self._created = created = ocirun.create(
            document,
            bundle,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            console=console,
            cgroup=cgroup,
            parked=parked,
            launch=ocirun.Launch(container_id, cache=_filters[0], state=_hook_state(container_id, bundle, document)),
        )
        return _described(created)

    def start(self, _passed: list[int]) -> tuple[dict[str, Any], list[int]]:
        assert self._created is not None
        created, self._created = self._created, None
        created.start()
        return {}, []

    def exec(
        self, passed: list[int], init_pid: int, bundle: str, process: str, console: bool, cgroup: str
    ) -> tuple[dict[str, Any], list[int]]:
        stdin, stdout, stderr = passed
        spec, document = _read_config(bundle), documents.loads(process)
        _give_streams(spec, document, passed)
        created = ocirun.exec_process(
            init_pid,
            spec,
            document,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            console=console,
            cgroup=cgroup,
            launch=ocirun.Launch(cache=_filters[0]),
        )
        return _described(created)


_VERBS = {"parked": _Worker.parked, "create": _Worker.create, "start": _Worker.start, "exec": _Worker.exec}


def _described(created: ocirun.Created) -> tuple[dict[str, Any], list[int]]:
    answer = {"pid": created.pid, "warnings": created.warnings}
    return answer, [created.console_fd] if created.console_fd >= 0 else []


def _hook_state(container_id: str, bundle: str, spec: dict[str, Any]) -> str:
    """The OCI state that hooks (of CDI devices) read."""
    if not spec.get("hooks"):
        return ""
    document = {"ociVersion": spec["ociVersion"], "id": container_id, "status": "creating", "bundle": bundle}
    return documents.dumps(document)[:-1] + ',"pid":%PID%}'


def _give_streams(spec: dict[str, Any], process: dict[str, Any], streams: list[int]) -> None:
    """Let a program in a user namespace open /dev/stdout by name: it cannot own a pipe of ours by itself."""
    uid = (process.get("user") or {}).get("uid", 0)
    for one in (spec.get("linux") or {}).get("uidMappings") or ():
        if one["containerID"] <= uid < one["containerID"] + one["size"]:
            for fd in streams:
                if stat.S_ISFIFO(os.fstat(fd).st_mode):
                    os.fchown(fd, one["hostID"] + uid - one["containerID"], -1)


def _write_config(bundle: str, spec: str) -> None:
    """For later execs, which need its seccomp profile: in a file it takes no memory of the shim's."""
    fd = os.open(f"{bundle}/{CONFIG}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        fds.write_all(fd, spec.encode())
    finally:
        os.close(fd)


def _read_config(bundle: str) -> dict[str, Any]:
    document: dict[str, Any] = documents.read(f"{bundle}/{CONFIG}")
    return document


def _new_namespaces(spec: dict[str, Any]) -> int:
    """CLONE_NEW* that a parked child must be in to serve for this spec; -1 where none can."""
    wanted = Namespaces(spec.get("linux") or {})
    return -1 if wanted.needs_intermediate else wanted.new & ~_CLONE_NEWCGROUP


class Own:
    """The runner of containers with our own runtime: as `External` has it."""

    command: list[str] = []  # noqa: RUF012 (never changed: nothing but the shim itself knows these containers)

    def __init__(self, container_id: str, creator: Creator | None, cgroup: str, bundle: str = "") -> None:
        self._id, self._given, self._cgroup, self.bundle = container_id, creator, cgroup, bundle

    @property
    def _creator(self) -> Creator:
        assert self._given is not None, "the container runs already"
        return self._given

    async def create(self, request: messages.Create, spec: str, pipes: Pipes) -> tuple[int, int]:
        """→ (init's pid, pty master or -1)."""
        arguments = (self._id, spec, request.bundle, request.tty, self._cgroup)
        answer, received = self._creator.call("create", arguments, tuple(pipes.inner))
        self.bundle = request.bundle
        return answer["pid"], received[0] if received else -1

    async def start(self) -> None:
        self._creator.call("start")
        self._creator.close()

    async def exec(self, init_pid: int, request: messages.Exec, pipes: Pipes) -> tuple[int, int]:
        """→ (pid, pty master or -1)."""
        creator = fork(None)
        try:
            arguments = (init_pid, self.bundle, request.process, request.tty, self._cgroup)
            answer, received = creator.call("exec", arguments, tuple(pipes.inner))
        finally:
            creator.close()
        return answer["pid"], received[0] if received else -1

    def abandon(self, loop: Loop, on_ended: Callable[[], None]) -> None:
        """Kill init, which was not started, and call back once it is reaped."""
        loop.on_exit(self._creator.pid, lambda _status: on_ended())
        self._creator.close()

    async def delete(self) -> None:
        """Nothing is left once init has ended."""
        if self._given is not None:
            self._given.close()
