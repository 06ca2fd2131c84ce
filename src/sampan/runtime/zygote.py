"""The daemon's side of the zygote."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections import deque

from sampan.rpc import messages

from .channel import ShimGone
from .shim import Shim

ATTEMPTS = 3
REFILL_DELAY = 0.04
"""Seconds after a spawn, by when its container runs: parking must not compete with its start."""


class Zygote:
    """Gives out shims, a few of which it keeps parked; starts a new zygote where the old one died.

    Containers outlive every zygote. `pid` is the present one's, 0 where none runs.
    """

    def __init__(self, exec_root: str, cgroup_parent: str, pool: int) -> None:
        self._exec_root = exec_root
        self._configure = messages.Configure(exec_root=exec_root, cgroup_parent=cgroup_parent)
        self._size = pool
        self._parked: deque[socket.socket] = deque()
        self._sock: socket.socket | None = None
        self._refill_timer: asyncio.TimerHandle | None = None
        self._children: list[subprocess.Popen[bytes]] = []  # the present one and those that are ending
        self.pid = 0

    def adopt(self, pid: int, sock: socket.socket) -> None:
        """Take over what `shim.zygote.fork()` gave."""
        self._sock, self.pid = sock, pid
        try:
            sock.send(messages.encode(self._configure), socket.MSG_NOSIGNAL)
            self._park(self._size - len(self._parked))
        except OSError:
            self._drop()  # it is dead already: `spawn` starts another

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
        while parked and self._parked:
            try:
                return await self._give(self._parked.popleft(), container_id)
            except (OSError, ShimGone):
                continue  # that one was killed
        for attempt in range(ATTEMPTS):
            if self._sock is None or attempt:
                self._drop()
                self.launch()
            try:
                return await self._give(self._fork(messages.PARK if parked else messages.FORK), container_id)
            except (OSError, ShimGone):
                continue
        raise ShimGone(f"no shim could be started for container {container_id}")

    async def _give(self, sock: socket.socket, container_id: str) -> Shim:
        try:
            sock.send(messages.encode(messages.Spawn(container_id=container_id)), socket.MSG_NOSIGNAL)
        except OSError:
            sock.close()
            raise
        self._refill_later()
        return await Shim.greet(sock, f"{self._exec_root}/shims/{container_id}")

    def _fork(self, kind: bytes) -> socket.socket:
        """Our end of the control connection of a new shim."""
        if self._sock is None:
            raise ShimGone("no zygote runs")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                socket.send_fds(self._sock, [kind], [theirs.fileno()], socket.MSG_NOSIGNAL)
            except OSError:
                ours.close()
                raise
        return ours

    def _park(self, count: int) -> None:
        for _ in range(count):
            self._parked.append(self._fork(messages.PARK))

    def _refill_later(self) -> None:
        if self._refill_timer is None and len(self._parked) < self._size:
            self._refill_timer = asyncio.get_running_loop().call_later(REFILL_DELAY, self._refill)

    def _refill(self) -> None:
        self._refill_timer = None
        try:
            self._park(min(1, self._size - len(self._parked)))
        except (OSError, ShimGone):
            self._drop()  # the next spawn starts another: it has someone to tell should that fail
            return
        self._refill_later()

    def _drop(self) -> None:
        """The zygote is dead; parked shims live on."""
        if self._sock is not None:
            self._sock.close()
        self._sock, self.pid = None, 0

    def shut(self) -> None:
        """Let the zygote end, with its parked shims; containers go on."""
        if self._refill_timer is not None:
            self._refill_timer.cancel()
            self._refill_timer = None
        for sock in self._parked:
            sock.close()
        self._parked.clear()
        self._drop()

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
