"""The zygote: a small process that forks shims.

It is forked by the daemon before asyncio is imported, or started by `python -m sampan.shim.zygote FD` where a threaded
daemon has lost its zygote. It ends with the daemon; shims that have a container do not.

Its loop does next to nothing: every page that it writes to after a fork is one that the shim no longer shares. So the
daemon holds the pool of parked shims, and the kernel reaps (SIGCHLD ignored, waitpid(2)).
"""

from __future__ import annotations

import gc
import os
import sys
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socketpair

from sampan.linux import fds, prctl
from sampan.rpc import framing, messages

from . import cgroups, keeper
from . import creator as creators
from .container import Container
from .loop import Loop, catch_signals, default_signals, ignore_children
from .tasks import print_exception, redirect
from .title import set_title

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import NoReturn

    from sampan.ocirun.channel import Channel

_MAX_FD = 1 << 20


def fork() -> tuple[int, socket.socket]:
    """Fork a zygote off the daemon: (pid, the daemon's end of the socket). To be called while there is one thread."""
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    _freeze()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _become(lambda: _serve(theirs, new_session=True))
    theirs.close()
    import socket  # not before the fork: no shim needs its enumerations

    return pid, socket.socket(fileno=ours.detach())


def _become(main: Callable[[], None]) -> NoReturn:
    """Run a forked child's whole life; nothing of the parent's stack is ever unwound."""
    status = 1
    try:
        main()
        status = 0
    except BaseException:  # noqa: BLE001 (the end of the process)
        print_exception()
    finally:
        os._exit(status)
    raise AssertionError  # os._exit does not return


def _serve(sock: fds.socket, *, new_session: bool) -> None:
    if new_session:
        os.setsid()
    os.chdir("/")
    _close_others(sock.fileno())
    redirect("/dev/null")
    default_signals()
    set_title(b"sampan-zygote")
    config = _configure(sock)
    prctl.set_child_subreaper()  # containers whose shim was killed become ours
    ignore_children()
    _fork_shims(sock, config)
    if config.cgroup_parent:
        cgroups.remove_empty(_shims_group(config))


def _freeze() -> None:
    """Keep collections from writing to what forked processes share; the one here writes to all of it."""
    gc.collect()
    gc.freeze()


def _close_others(kept: int) -> None:
    # Not linux.fds.close_range: the first call of ctypes in a forked process un-shares 300 KB.
    os.closerange(3, kept)
    os.closerange(kept + 1, _MAX_FD)


def _configure(sock: fds.socket) -> messages.Configure:
    packet, _ = fds.recv_fds(sock, framing.PACKET)
    if not packet:
        os._exit(0)
    config: messages.Configure = messages.decode(packet)
    creators.keep_filters(f"{config.exec_root}/seccomp")
    os.makedirs(f"{config.exec_root}/shims", mode=0o700, exist_ok=True)
    if config.cgroup_parent:
        cgroups.sweep(config.cgroup_parent)
        cgroups.enter(_shims_group(config))
    return config


def _shims_group(config: messages.Configure) -> str:
    return f"{config.cgroup_parent.rstrip('/')}/shims"


def _fork_shims(sock: fds.socket, config: messages.Configure) -> None:
    while True:
        packet, passed = fds.recv_fds(sock, framing.PACKET)
        if not packet:
            return
        (control,) = passed
        if os.fork() == 0:
            _shim(control, config, packet == messages.PARK)
        os.close(control)


def _shim(control: int, config: messages.Configure, parked: bool) -> NoReturn:
    os.setsid()
    _close_others(control)
    catch_signals()
    set_title(b"sampan-shim")
    prctl.set_child_subreaper()  # before the worker and its creator end: container init is to become ours
    _become(lambda: keeper.keep(lambda channel: _work(control, config, parked, channel), control))


def _work(control: int, config: messages.Configure, parked: bool, channel: Channel) -> None:
    prctl.set_child_subreaper()
    creator = creators.fork(cgroups.parked_name(config.cgroup_parent) if parked else None)
    sock = fds.socket(fileno=control)
    first, _ = fds.recv_fds(sock, framing.PACKET)
    if first:
        _run_container(sock, messages.decode(first).container_id, config.exec_root, creator, channel)
    else:
        creator.close()  # the daemon has gone
        os.waitpid(creator.pid, 0)


def _run_container(
    sock: fds.socket, container_id: str, exec_root: str, creator: creators.Creator, channel: Channel
) -> None:
    directory = f"{exec_root}/shims/{container_id}"
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass  # of an earlier run whose shim was killed
    loop = Loop()
    container = Container(loop, container_id, directory, creator)
    container.pid, container.keeper = os.getppid(), channel
    container.server.add(sock)
    redirect(f"{directory}/shim.log")
    container.server.listen(directory)
    title = b"sampan-shim " + container_id.encode()
    set_title(title)
    try:
        set_title(title, os.getppid())
    except OSError:
        pass  # a system that lets nobody write to a parent's memory (Yama): ps shows it without the id
    loop.run()


def main(arguments: list[str]) -> None:
    """`python -m sampan.shim.zygote FD`: serve the daemon at the other end of FD."""
    _freeze()
    _become(lambda: _serve(fds.socket(fileno=int(arguments[0])), new_session=False))


if __name__ == "__main__":
    main(sys.argv[1:])
