"""sampan-runc's commands that make, run and end containers."""

from __future__ import annotations

import errno
import os
import time
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_STREAM, socket

from ..linux import capabilities, pidfd, signals
from ..linux.cgroup import named
from ..linux.fds import send_fds
from ..rpc import documents
from . import foreground, hooks, launch
from .arguments import FLAG, LIST, VALUE, Arguments, Incorrect, parse, table
from .channel import Channel, Closed
from .failure import RuntimeFailed
from .state import OCI_VERSION, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .main import Globals

_CREATE = table(
    (VALUE, ("bundle", "console-socket", "pidfd-socket", "pid-file", "preserve-fds")),
    (FLAG, ("no-pivot", "no-new-keyring")),
)
_RUN = {**_CREATE, **table((FLAG, ("detach", "keep", "no-subreaper")))}
_EXEC = table(
    (VALUE, ("console-socket", "pidfd-socket", "cwd", "user", "process", "pid-file", "process-label", "apparmor",
             "preserve-fds")),
    (LIST, ("env", "additional-gids", "cap", "cgroup")),
    (FLAG, ("tty", "detach", "no-new-privs", "ignore-paused")),
)  # fmt: skip
_KILL_SECONDS = 10.0


def one_id(arguments: Arguments, command: str) -> str:
    """The only argument of most commands."""
    if len(arguments.rest) != 1:
        raise Incorrect(f'runc: "{command}" requires exactly 1 argument(s)')
    return arguments.rest[0]


def load_spec(bundle: str) -> tuple[dict[str, Any], str]:
    """config.json of a bundle, and its text."""
    try:
        with open(f"{bundle}/config.json", encoding="utf-8") as file:
            text = file.read()
        spec: dict[str, Any] = documents.loads(text)
    except FileNotFoundError:
        raise RuntimeFailed("JSON specification file config.json not found") from None
    except ValueError as error:
        raise RuntimeFailed(f"invalid config.json: {error}") from error
    if not str(spec.get("ociVersion", "")).startswith("1."):
        raise RuntimeFailed("Could not parse `ociVersion` in config.json")
    if not spec.get("process"):
        raise RuntimeFailed("process property must not be empty")
    return spec, text


def cgroup_name(spec: dict[str, Any], container_id: str, systemd: bool) -> str:
    """The name of the control group: `slice:prefix:name` for systemd, else its path below the hierarchies."""
    path = (spec.get("linux") or {}).get("cgroupsPath") or ""
    if not systemd:
        return "/" + os.path.normpath("/" + path).lstrip("/") if path else f"/{container_id}"
    name = path or f":runc:{container_id}"
    if name.count(":") != 2:
        raise RuntimeFailed(
            f'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got {path!r} instead'
        )
    try:
        return named(name).name
    except ValueError as error:
        raise RuntimeFailed(str(error)) from error


class Creation:
    """One `create` or `run`."""

    def __init__(self, options: Globals, arguments: Arguments, command: str, detached: bool) -> None:
        self.id = one_id(arguments, command)
        self.arguments = arguments
        self.bundle = os.path.realpath(arguments.value("bundle", "."))
        try:
            os.chdir(self.bundle)
        except OSError as error:
            raise RuntimeFailed(f"chdir {self.bundle}: {(error.strerror or '').lower()}") from error
        self.spec, self.text = load_spec(self.bundle)
        self.console = bool(self.spec["process"].get("terminal"))
        self._check_console(detached)
        self.cache = f"{options.root}/seccomp"
        self.cgroup = cgroup_name(self.spec, self.id, options.systemd)
        self.state = State.create(options.root, self.id)

    def _check_console(self, detached: bool) -> None:
        wanted = self.arguments.value("console-socket")
        if detached and self.console and not wanted:
            raise RuntimeFailed("cannot allocate tty if runc will detach without setting console socket")
        if wanted and not (self.console and detached):
            raise RuntimeFailed("cannot use console socket if runc will not detach or allocate tty")

    def create(self, listening: bool) -> launch.Created:
        """Make the container; with `listening` another process can start it."""
        listener = None
        try:
            listener = listen(self.state.start_socket) if listening else None
            return self._create(listener)
        except BaseException:
            self.state.remove()
            raise
        finally:
            if listener:
                listener.close()

    def _create(self, listener: socket | None) -> launch.Created:
        created = launch.create(
            self.spec,
            self.bundle,
            stdin=0,
            stdout=1,
            stderr=2,
            console=self.console,
            cgroup=self.cgroup,
            launch=launch.Launch(
                self.id,
                listener=listener.fileno() if listener else -1,
                preserved=range(3, 3 + self.arguments.number("preserve-fds")),
                cache=self.cache,
                state=self._hook_state(),
            ),
        )
        try:
            self.state.fill(created.pid, self.bundle, self.spec, self.text, self.cgroup)
            hand_over(self.arguments, created)
        except BaseException:
            created.abandon()
            raise
        return created

    def _hook_state(self) -> str:
        if not self.spec.get("hooks"):
            return ""
        document = {"ociVersion": OCI_VERSION, "id": self.id, "status": "creating", "bundle": self.bundle}
        if self.spec.get("annotations"):
            document["annotations"] = self.spec["annotations"]
        return documents.dumps(document)[:-1] + ',"pid":%PID%}'


def listen(path: str) -> socket:
    """A listening unix socket; by way of an fd, because the path may exceed sun_path (unix(7))."""
    directory = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        made.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        made.listen(8)
    finally:
        os.close(directory)
    return made


def connect(path: str) -> socket:
    """A connection to a unix socket, with the same care."""
    directory = os.open(os.path.dirname(os.path.abspath(path)), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC)
        made.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    finally:
        os.close(directory)
    return made


def hand_over(arguments: Arguments, created: launch.Created) -> None:
    """Terminal, pidfd and pid go where the command line says."""
    if created.console_fd >= 0 and arguments.value("console-socket"):
        _send(arguments.value("console-socket"), b"/dev/ptmx", created.console_fd)
        os.close(created.console_fd)
        created.console_fd = -1
    if arguments.value("pidfd-socket"):
        _send(arguments.value("pidfd-socket"), b"pidfd", created.pidfd)
    if arguments.value("pid-file"):
        path = arguments.value("pid-file")
        temporary = f"{os.path.dirname(path) or '.'}/.{os.path.basename(path)}"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(str(created.pid))
        os.replace(temporary, path)


def _send(path: str, name: bytes, fd: int) -> None:
    connection = connect(path)
    send_fds(connection, name, [fd])
    connection.close()


def create(options: Globals, words: list[str]) -> int:
    """`create <id>`"""
    arguments = parse(words, _CREATE, {"b": "bundle"})
    created = Creation(options, arguments, "create", detached=True).create(listening=True)
    options.warn(created.warnings)
    created.detach()
    return 0


def run(options: Globals, words: list[str]) -> int:
    """`run <id>`: create, start, and unless detached wait and delete."""
    arguments = parse(words, _RUN, {"b": "bundle", "d": "detach"})
    detached = arguments.flag("detach")
    creation = Creation(options, arguments, "run", detached)
    created = creation.create(listening=False)
    options.warn(created.warnings)
    if not detached:
        foreground.forward_signals(created)
    try:
        created.start()
        options.warn(hooks.run_all((creation.spec.get("hooks") or {}).get("poststart"), _state(creation.state)))
    except BaseException:
        created.abandon()
        _destroy(options, creation.state)
        raise
    if detached:
        return 0
    status = foreground.follow(created)
    if not arguments.flag("keep"):
        _destroy(options, creation.state)
    return status


def _state(state: State) -> str:
    return documents.dumps(state.document())


def start(options: Globals, words: list[str]) -> int:
    """`start <id>`"""
    state = State.load(options.root, one_id(parse(words, {}), "start"))
    status = state.status()
    if status == "stopped":
        raise RuntimeFailed("cannot start a container that has stopped")
    if status != "created":
        raise RuntimeFailed("cannot start an already running container")
    channel = Channel(connect(state.start_socket))
    os.unlink(state.start_socket)
    try:
        channel.send("start")
        message, _ = channel.receive()
    except (Closed, BrokenPipeError):
        pass  # close-on-exec: the program runs
    else:
        launch.raise_reported(message)
    poststart = (state.spec().get("hooks") or {}).get("poststart") if _has_hooks(state) else None
    options.warn(hooks.run_all(poststart, _state(state)))
    return 0


def _has_hooks(state: State) -> bool:
    with open(f"{state.directory}/config.json", encoding="utf-8") as file:
        return '"hooks"' in file.read()


def exec_(options: Globals, words: list[str]) -> int:
    """`exec <id> <command> …`; 255 for what fails on our side, as with runc."""
    try:
        return _exec(options, words)
    except Incorrect:
        raise
    except (RuntimeFailed, OSError) as error:
        failure = RuntimeFailed(str(error) if str(error).startswith("exec failed") else f"exec failed: {error}")
        failure.exit_code = 255
        raise failure from error


def _exec(options: Globals, words: list[str]) -> int:
    arguments = parse(words, _EXEC, {"e": "env", "t": "tty", "u": "user", "g": "additional-gids", "p": "process",
                                     "d": "detach", "c": "cap"})  # fmt: skip
    if not arguments.rest:
        raise Incorrect('runc: "exec" requires a minimum of 1 argument(s)')
    state = State.load(options.root, arguments.rest[0])
    status = state.status()
    if status == "stopped":
        raise RuntimeFailed("cannot exec in a stopped container")
    if status == "paused" and not arguments.flag("ignore-paused"):
        raise RuntimeFailed("cannot exec in a paused container (use --ignore-paused to override)")
    spec = state.spec()
    process = _process(arguments, spec)
    created = launch.exec_process(
        state.pid,
        spec,
        process,
        stdin=0,
        stdout=1,
        stderr=2,
        console=bool(process.get("terminal")),
        cgroup=state.record["cgroup"],
        launch=launch.Launch(
            state.id, preserved=range(3, 3 + arguments.number("preserve-fds")), cache=f"{options.root}/seccomp"
        ),
    )
    hand_over(arguments, created)
    options.warn(created.warnings)
    if arguments.flag("detach"):
        return 0
    foreground.forward_signals(created)
    return foreground.follow(created)


def _process(arguments: Arguments, spec: dict[str, Any]) -> dict[str, Any]:
    """The OCI process of an exec: a file's, or the container's with changes."""
    if arguments.value("process"):
        given: dict[str, Any] = documents.read(arguments.value("process"))
        return given
    if len(arguments.rest) < 2:
        raise Incorrect("process args cannot be empty")
    process: dict[str, Any] = {**spec["process"], "args": arguments.rest[1:], "terminal": arguments.flag("tty")}
    process["env"] = [*(process.get("env") or []), *arguments.values("env")]
    process["cwd"] = arguments.value("cwd") or process.get("cwd")
    for option, key in (("apparmor", "apparmorProfile"), ("process-label", "selinuxLabel")):
        if arguments.value(option):
            process[key] = arguments.value(option)
    if "no-new-privs" in arguments.given:
        process["noNewPrivileges"] = arguments.flag("no-new-privs")
    _set_user(process, arguments)
    for name in arguments.values("cap"):
        _add_capability(process, name)
    return process


def _set_user(process: dict[str, Any], arguments: Arguments) -> None:
    user = dict(process.get("user") or {})
    if arguments.value("user"):
        uid, _, gid = arguments.value("user").partition(":")
        try:
            user.update(uid=int(uid), **({"gid": int(gid)} if gid else {}))
        except ValueError as error:
            raise Incorrect(f"parsing {arguments.value('user')!r} as uid:gid: {error}") from error
    try:
        extra = [int(gid) for gid in arguments.values("additional-gids")]
    except ValueError as error:
        raise Incorrect(f"additional-gids: {error}") from error
    user["additionalGids"] = [*(user.get("additionalGids") or []), *extra]
    process["user"] = user


def _add_capability(process: dict[str, Any], name: str) -> None:
    if name not in capabilities.BITS:
        raise RuntimeFailed(f"unknown capability {name!r}")
    sets = process["capabilities"] = dict(process.get("capabilities") or {})
    for kind in ("bounding", "effective", "permitted"):
        sets[kind] = [*(sets.get(kind) or []), name]


def kill(options: Globals, words: list[str]) -> int:
    """`kill <id> [signal]`"""
    arguments = parse(words, table((FLAG, ("all",))), {"a": "all"})
    if not 1 <= len(arguments.rest) <= 2:
        raise Incorrect('runc: "kill" requires a minimum of 1 argument(s)')
    state = State.load(options.root, arguments.rest[0])
    try:
        number = signals.number(arguments.rest[1] if len(arguments.rest) > 1 else "SIGTERM")
    except ValueError as error:
        raise RuntimeFailed(str(error)) from error
    group = state.cgroup
    if arguments.flag("all") and group and group.exists():
        group.signal(number)
        return 0
    try:
        process = state.open_process()
        pidfd.send_signal(process, number)
    except ProcessLookupError:
        raise RuntimeFailed("container not running") from None
    os.close(process)
    if number == signals.SIGKILL and group and group.is_frozen():
        group.thaw()
    return 0


def delete(options: Globals, words: list[str]) -> int:
    """`delete [-f] <id>`"""
    arguments = parse(words, table((FLAG, ("force",))), {"f": "force"})
    container_id, force = one_id(arguments, "delete"), arguments.flag("force")
    try:
        state = State.load(options.root, container_id)
    except RuntimeFailed:
        State(options.root, container_id, {}).remove()  # of a creation that was cut off
        if force:
            return 0
        raise
    status = state.status()
    if status in ("running", "paused") and not force:
        raise RuntimeFailed(f"cannot delete container {state.id} that is not stopped: {status}")
    if status != "stopped":
        _kill_and_wait(state)
    _destroy(options, state)
    return 0


def _kill_and_wait(state: State) -> None:
    try:
        process = state.open_process()
    except ProcessLookupError:
        return
    group = state.cgroup
    pidfd.send_signal(process, signals.SIGKILL)
    if group and group.is_frozen():
        group.thaw()
    if not pidfd.has_exited(process, int(_KILL_SECONDS * 1000)):
        raise RuntimeFailed(f"container {state.id} did not end in {_KILL_SECONDS:.0f} s")
    os.close(process)


def _destroy(options: Globals, state: State) -> None:
    """Remove what is left of a container whose process 1 has ended."""
    group = state.cgroup
    if group and group.exists():
        group.kill()
        _remove_group(group)
    poststop = (state.spec().get("hooks") or {}).get("poststop") if _has_hooks(state) else None
    if poststop:
        options.warn(hooks.run_all(poststop, _state(state)))
    state.remove()


def _remove_group(group: Any) -> None:
    deadline = time.monotonic() + _KILL_SECONDS
    while True:
        try:
            group.remove()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        else:
            return
