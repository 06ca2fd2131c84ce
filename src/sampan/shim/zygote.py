"""The zygote: a small process that forks shims.

It is forked by the daemon before asyncio is imported, or started by `python -m sampan.shim.zygote FD` where a threaded
daemon has lost its zygote. It keeps a few shims parked, each with a child that sits in fresh namespaces, and refills
the pool when nothing is asked of it. It ends with the daemon; shims that have a container do not.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import traceback
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socketpair
from collections.abc import Callable
from typing import NoReturn

from sampan.linux import fds, prctl, sealed
from sampan.rpc import framing, messages

from . import cgroups
from . import creator as creators
from .container import Container
from .loop import READ, Loop, catch_signals
from .title import set_title

REFILL_DELAY = 0.02
"""Seconds after the last spawn: parking must not compete with the container that is being started."""


def fork() -> tuple[int, socket.socket]:
    """Fork a zygote off the daemon: (pid, the daemon's end of the socket). To be called while there is one thread."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _become(lambda: _serve(theirs, new_session=True))
    theirs.close()
    return pid, ours


def _become(main: Callable[[], None]) -> NoReturn:
    """Run a forked child's whole life; nothing of the parent's stack is ever unwound."""
    status = 1
    try:
        main()
        status = 0
    except BaseException:  # noqa: BLE001 (the end of the process)
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(status)
    raise AssertionError  # os._exit does not return


def _serve(sock: socket.socket, *, new_session: bool) -> None:
    if new_session:
        os.setsid()
    os.chdir("/")
    fds.close_from(3, [sock.fileno()])
    _redirect("/dev/null")
    for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(signo, signal.SIG_DFL)
    catch_signals()
    set_title(b"sampan-zygote")
    prctl.set_child_subreaper()  # containers whose shim was killed become ours to reap
    gc.collect()
    gc.freeze()  # a collection in a shim then leaves the shared pages alone
    zygote = ZygoteServer(sock)
    zygote.loop.run()
    zygote.close()


def _redirect(output: str) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(log)


class ZygoteServer:
    """Serves one daemon."""

    def __init__(self, sock: socket.socket) -> None:
        self.loop = Loop()
        self.sock = sock
        self.config: messages.Configure | None = None
        self.pool: list[fds.socket] = []
        self._refilling = False
        self.loop.watch(sock.fileno(), READ, self._on_request)

    @property
    def shims_cgroup(self) -> str:
        assert self.config is not None
        return f"{self.config.cgroup_parent.rstrip('/')}/shims"

    def _on_request(self, _mask: int) -> None:
        try:
            packet, passed = fds.recv_fds(self.sock, framing.PACKET, framing.MAX_FDS)
        except OSError:
            packet, passed = b"", []
        if not packet:
            self.loop.stop()
            return
        payload = framing.Assembler().feed(packet)
        assert payload is not None  # these messages fit one packet
        message = messages.decode_for_zygote(payload)
        if isinstance(message, messages.Configure):
            self._configure(message)
        else:
            self._spawn(message, packet, passed)

    def _configure(self, config: messages.Configure) -> None:
        self.config = config
        os.makedirs(f"{config.exec_root}/shims", mode=0o700, exist_ok=True)
        cgroups.sweep(config.cgroup_parent)
        cgroups.enter(self.shims_cgroup)
        self._refill()

    def _spawn(self, request: messages.Spawn, packet: bytes, passed: list[int]) -> None:
        try:
            if request.parked:
                self._hand_over(packet, passed)
            else:
                self._hand_to(self._fork_shim(parked=False), packet, passed)
        finally:
            for fd in passed:
                os.close(fd)
        self._refill_later()

    def _hand_over(self, packet: bytes, passed: list[int]) -> None:
        while self.pool:
            if self._hand_to(self.pool.pop(0), packet, passed):
                return
        self._hand_to(self._fork_shim(parked=True), packet, passed)

    def _hand_to(self, sock: fds.socket, packet: bytes, passed: list[int]) -> bool:
        try:
            fds.send_fds(sock, packet, passed)
        except OSError:
            return False  # that shim was killed
        finally:
            sock.close()
        return True

    def _refill(self) -> None:
        self._refilling = False
        assert self.config is not None
        if len(self.pool) < self.config.pool:
            self.pool.append(self._fork_shim(parked=True))
            self._refill_later()

    def _refill_later(self) -> None:
        if not self._refilling:
            self._refilling = True
            self.loop.call_later(REFILL_DELAY, self._refill)

    def _fork_shim(self, *, parked: bool) -> fds.socket:
        """Fork a shim that waits for its container → our end of its socket."""
        assert self.config is not None
        ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
        config = self.config
        pid = os.fork()
        if pid == 0:
            _become(lambda: _shim(theirs, config, parked=parked))
        theirs.close()
        self.loop.on_exit(pid, lambda _status: None)
        return ours

    def close(self) -> None:
        """The daemon has gone: parked shims see the end of their socket and go too."""
        for sock in self.pool:
            sock.close()
        self.loop.reap()
        if self.config is not None:
            cgroups.remove_empty(self.shims_cgroup)


def _shim(sock: fds.socket, config: messages.Configure, *, parked: bool) -> None:
    os.setsid()
    fds.close_from(3, [sock.fileno()])
    set_title(b"sampan-shim")
    # Before the creator ends: its child is to become ours.
    prctl.set_child_subreaper()
    creator = creators.fork(cgroups.parked_name(config.cgroup_parent) if parked else None)
    packet, passed = fds.recv_fds(sock, framing.PACKET, framing.MAX_FDS)
    sock.close()
    if packet:
        _run_container(packet, passed[0], config.exec_root, creator)
    else:
        creator.close()
        os.waitpid(creator.pid, 0)


def _run_container(packet: bytes, control: int, exec_root: str, creator: creators.Creator) -> None:
    payload = framing.Assembler().feed(packet)
    assert payload is not None
    request = messages.decode_for_zygote(payload)
    assert isinstance(request, messages.Spawn)
    directory = f"{exec_root}/shims/{request.container_id}"
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass  # of an earlier run whose shim was killed
    loop = Loop()
    container = Container(loop, request.container_id, directory, creator)
    container.server.add(fds.socket(fileno=control))
    _redirect(f"{directory}/shim.log")
    container.server.listen(directory)
    set_title(b"sampan-shim " + request.container_id.encode())
    loop.run()


def main(arguments: list[str]) -> None:
    """`python -m sampan.shim.zygote FD`: serve the daemon at the other end of FD."""
    sealed.ensure()
    _become(lambda: _serve(socket.socket(fileno=int(arguments[0])), new_session=False))


if __name__ == "__main__":
    main(sys.argv[1:])
