"""The daemon's side of the zygote."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys

from sampan.rpc import framing, messages

from .channel import ShimGone
from .shim import Shim

ATTEMPTS = 3


class Zygote:
    """Gives out shims; starts a new zygote where the old one died.

    Containers outlive every zygote. `pid` is the present one's, 0 where none runs.
    """

    def __init__(self, exec_root: str, cgroup_parent: str, pool: int = 2) -> None:
        self._configure = messages.Configure(exec_root=exec_root, cgroup_parent=cgroup_parent, pool=pool)
        self._sock: socket.socket | None = None
        self._children: list[subprocess.Popen[bytes]] = []  # the present one and those that are ending
        self.pid = 0

    def adopt(self, pid: int, sock: socket.socket) -> None:
        """Take over what `shim.zygote.fork()` gave."""
        self._sock, self.pid = sock, pid
        try:
            self._send(self._configure)
        except OSError:
            self.shut()  # it is dead already: `spawn` starts another

    def launch(self) -> None:
        """Start a zygote by exec: the daemon is threaded by now, so it cannot fork one."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._children = [child for child in self._children if child.poll() is None]
        with theirs:
            child = subprocess.Popen(
                [sys.executable, "-m", "sampan.shim.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        self._children.append(child)
        self.adopt(child.pid, ours)

    async def spawn(self, container_id: str, *, parked: bool) -> Shim:
        """A fresh shim; `parked` asks for one whose child already sits in new mnt, pid, ipc, uts, net namespaces.

        Raises ShimGone where even a new zygote cannot make one.
        """
        for attempt in range(ATTEMPTS):
            if self._sock is None or attempt:
                self.shut()
                self.launch()
            try:
                return await self._spawn(container_id, parked)
            except (OSError, ShimGone):
                continue
        raise ShimGone(f"no shim could be started for container {container_id}")

    async def _spawn(self, container_id: str, parked: bool) -> Shim:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._send(messages.Spawn(container_id=container_id, parked=parked), theirs.fileno())
            except (OSError, ShimGone):
                ours.close()
                raise
        return await Shim.greet(ours, f"{self._configure.exec_root}/shims/{container_id}")

    def _send(self, message: messages.Message, *fds: int) -> None:
        if self._sock is None:
            raise ShimGone("no zygote runs")
        (packet,) = framing.split(messages.encode(message))
        socket.send_fds(self._sock, [packet], fds, socket.MSG_NOSIGNAL)

    def shut(self) -> None:
        """Let the zygote end, with its parked shims; containers go on."""
        if self._sock is not None:
            self._sock.close()
        self._sock, self.pid = None, 0

    async def close(self) -> None:
        """As `shut`, and waits until the zygote has ended."""
        pid, children = self.pid, self._children
        self.shut()
        for child in children:
            await asyncio.to_thread(child.wait)
        self._children = []
        if pid and not any(child.pid == pid for child in children):
            await asyncio.to_thread(_wait_child, pid)


def _wait_child(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # another owner reaped it
