"""The process that becomes the container's: it gets an order over its channel, sets itself up, waits, executes.

Every module that it needs is imported here, before it enters the container's root (rule S02).
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_STREAM, socket

from ..linux import fds as linux_fds
from ..linux import libc, prctl, signals
from ..linux import mount as mnt
from ..linux import namespaces as ns
from ..linux.cgroup import Cgroup
from ..linux.openat2 import O_PATH, make_directories
from . import devices, hooks, pid1, process, rootfs, sysctl
from .channel import Channel, Closed
from .failure import ExecFailed, RuntimeFailed, reason
from .namespaces import Namespaces, join

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

INIT_KEY = "sampanInit"
"""Our own key of an OCI process: run it under a small process 1 (`docker run --init`)."""

EXEC_FAILURE_STATUS = 255
"""What runc's init exits with when execve itself fails after the start."""


def main(channel: Channel, cgroup: str = "") -> NoReturn:
    """Run in the cloned child; `cgroup` is the one to wait in. Never returns."""
    try:
        _main(channel, cgroup)
    except Closed:
        pass  # parked and not needed, or the runtime died: nobody is left to be told
    except BaseException as error:  # noqa: BLE001  (whatever it is, it must not reach the caller's frames)
        _report(channel, error)
    finally:
        os._exit(1)


def _main(channel: Channel, cgroup: str) -> None:
    # S01: until execve nobody may look into this process, not even root of the container.
    prctl.set_dumpable(False)
    prctl.set_name("sampan-init")
    os.setsid()
    signals.reset()
    if cgroup:
        Cgroup(cgroup).enter()
        channel.send({"entered": cgroup})
    order, fds = channel.receive()
    setup = {"init": Init, "exec": Exec}[order["kind"]](order, fds, channel)
    if order["enter"]:
        Cgroup(order["enter"]).enter()
    program = setup.prepare()
    setup.channel.send({"ready": setup.warnings})
    setup.await_start()
    program.confine()
    if setup.process.get(INIT_KEY):
        pid1.supervise(lambda: _execute(program), setup.channel.close)
    _execute(program)


def _execute(program: process.Program) -> NoReturn:
    try:
        program.execute()
    except OSError as error:
        # The start has succeeded as far as the runtime is concerned: docker shows this on stderr, status 255.
        os.write(2, f"exec {program.path}: {(error.strerror or '').lower()}\n".encode())
        os._exit(EXEC_FAILURE_STATUS)


def _report(channel: Channel, error: BaseException) -> None:
    if isinstance(error, ExecFailed):
        message: dict[str, Any] = {"exec": [error.errno, error.message]}
    elif isinstance(error, RuntimeFailed):
        message = {"error": str(error)}
    else:
        message = {"error": reason(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"}
    try:
        channel.send(message)
    except OSError:
        pass  # nobody listens any more


class _Setup:
    """What init and exec have in common; `fds` are stdin, stdout, stderr and, by the order, others behind them."""

    def __init__(self, order: dict[str, Any], fds: list[int], channel: Channel) -> None:
        self.order = order
        self.channel = channel
        self.process: dict[str, Any] = order["process"]
        self.identity = process.Identity(self.process)
        self.warnings: list[str] = []
        self.streams, rest = fds[:3], fds[3:]
        self.listener = rest.pop(0) if order["listener"] else -1
        self.preserved = [rest.pop(0) for _ in range(order["preserved"])]
        self.rest = rest

    def prepare(self) -> process.Program:
        """Set everything up to the wait for start."""
        raise NotImplementedError

    def await_start(self) -> None:
        """Wait until the runtime says start: on our channel, or on a socket that another process connects to."""
        if self.listener < 0:
            self.channel.receive()
            return
        self.channel.close()
        while True:
            connection = Channel(socket(AF_UNIX, SOCK_STREAM, 0, linux_fds.accept(self.listener)))
            try:
                connection.receive()
            except Closed:
                connection.close()  # somebody who only looked
                continue
            self.channel = connection
            return

    def _console(self, root: int, mount: bool) -> int:
        if not self.order["console"]:
            return -1
        master, slave = devices.open_console(root)
        if mount:
            devices.mount_console(root, slave)
        self.channel.send({"console": True}, [master])
        os.close(master)
        return slave

    def _finish(self, root: int, slave: int) -> process.Program:
        """The last steps, inside the container's root."""
        process.set_limits(self.process)
        proc = os.open("/proc", O_PATH | os.O_CLOEXEC)
        process.set_label(proc, self.process)
        os.close(proc)
        process.set_streams(self.streams, slave, self.identity.uid, self.process.get("consoleSize"))
        self._place_preserved()
        libc.join_session_keyring(f"_ses.{self.order['id']}")
        cwd = self.process.get("cwd") or "/"
        entered = process.change_directory(cwd, tolerant=True)
        self.identity.become()
        if not entered:
            process.change_directory(cwd, tolerant=False)
        return process.Program(self.process, root, self.identity, self.order["bpf"], self.order["bpf_flags"])

    def _place_preserved(self) -> None:
        # They are numbered from 3 on for the program; what is ours there moves out of the way first.
        count = len(self.preserved)
        if count:
            self.channel = Channel(_moved(self.channel.sock, 3 + count))
            if self.listener >= 0:
                self.listener = _above(self.listener, 3 + count)
            copies = [_above(fd, 3 + count) for fd in self.preserved]
            for number, fd in enumerate(copies, 3):
                os.dup2(fd, number, inheritable=True)
        process.close_others(count)


def _above(fd: int, least: int) -> int:
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, least)


def _moved(sock: socket, least: int) -> socket:
    return socket(AF_UNIX, SOCK_STREAM, 0, _above(sock.fileno(), least))


class Init(_Setup):
    """Process 1 of a container."""

    def prepare(self) -> process.Program:
        """Everything up to the wait for start."""
        spec, linux = self.order["spec"], self.order["spec"].get("linux") or {}
        wanted = Namespaces(linux)
        if not wanted.needs_intermediate:
            join(wanted.paths)
        if wanted.has(ns.CLONE_NEWUSER):
            _become_root()
        if wanted.new & ns.CLONE_NEWCGROUP:
            ns.unshare(ns.CLONE_NEWCGROUP)
        _set_names(spec)
        process.apply_personality(linux.get("personality"))
        root = self._root(spec, linux)
        self._fill(root, spec, linux, wanted)
        return self._enter(root, spec, linux)

    def _root(self, spec: dict[str, Any], linux: dict[str, Any]) -> int:
        tree = self.rest.pop(0) if self.order["tree"] else mnt.clone_tree(self.order["rootfs"])
        return rootfs.enter(tree, linux.get("rootfsPropagation") or "")

    def _fill(self, root: int, spec: dict[str, Any], linux: dict[str, Any], wanted: Namespaces) -> None:
        mounter = rootfs.Mounter(root, self.order["bundle"], dict(zip(self.order["sources"], self.rest, strict=False)))
        mounter.cgroup = self.order["cgroup"]
        mounter.own_cgroupns = wanted.has(ns.CLONE_NEWCGROUP)
        mounts = spec.get("mounts") or []
        mounter.mount_all(mounts)
        if devices.has_own_dev(mounts):
            devices.make_all(root, linux.get("devices") or [], bind=wanted.has(ns.CLONE_NEWUSER))
        self._hooks_before_pivot(spec)
        if self.process.get("cwd"):
            os.close(make_directories(root, self.process["cwd"]))
        self.slave = self._console(root, mount=devices.has_own_dev(mounts))
        mounter.finish()
        sysctl.apply(root, linux.get("sysctl") or {})
        rootfs.make_read_only(root, linux.get("readonlyPaths") or [])
        rootfs.mask(root, linux.get("maskedPaths") or [])
        if (spec.get("root") or {}).get("readonly"):
            mnt.mount_setattr(root, mnt.MOUNT_ATTR_RDONLY)

    def _hooks_before_pivot(self, spec: dict[str, Any]) -> None:
        given = spec.get("hooks") or {}
        if any(given.get(kind) for kind in hooks.IN_RUNTIME):
            self.channel.send({"hooks": True})
            self.channel.receive()
        hooks.run(given.get("createContainer"), self.order["state"])

    def _enter(self, root: int, spec: dict[str, Any], linux: dict[str, Any]) -> process.Program:
        rootfs.pivot(root, linux.get("rootfsPropagation") or "")
        program = self._finish(root, self.slave)
        os.close(root)
        return program

    def await_start(self) -> None:
        super().await_start()
        hooks.run((self.order["spec"].get("hooks") or {}).get("startContainer"), self.order["state"])


def _set_names(spec: dict[str, Any]) -> None:
    for key, setter in (("hostname", libc.sethostname), ("domainname", libc.setdomainname)):
        if spec.get(key):
            try:
                setter(spec[key])
            except OSError as error:
                raise RuntimeFailed(f"set{key}: {(error.strerror or '').lower()}") from error


def _become_root() -> None:
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    try:
        os.setgroups([])
    except PermissionError:
        pass  # setgroups is denied in a single-user map (user_namespaces(7))


class Exec(_Setup):
    """Another process of a running container."""

    def prepare(self) -> process.Program:
        """Join the container and get ready; the fd behind the streams is init's pidfd."""
        pidfd = self.rest.pop(0)
        kinds = self.order["join"]
        ns.setns(pidfd, kinds)
        os.close(pidfd)
        if kinds & ns.CLONE_NEWUSER:
            _become_root()
        process.apply_personality((self.order["spec"].get("linux") or {}).get("personality"))
        root = os.open("/", O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        program = self._finish(root, self._console(root, mount=False))
        os.close(root)
        return program
