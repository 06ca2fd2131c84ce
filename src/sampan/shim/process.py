"""One process of the container as the shim keeps it: init or an exec."""

from __future__ import annotations

import os

from sampan import errors
from sampan.linux import pty
from sampan.linux.fds import socket

from .streams import STDERR, STDIN, STDOUT, Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sampan.rpc import messages

    from .loop import Loop
    from .pipes import Pipes
    from .streams import Log


class Process:
    """`status` is None while it runs."""

    def __init__(self, loop: Loop, exec_id: str | None, log: Log | None, *, stdin_once: bool) -> None:
        self.loop = loop
        self.exec_id = exec_id
        self.streams = Streams(loop, log, stdin_once=stdin_once)
        self.pid = 0
        self.status: int | None = None

    def open(self, pipes: Pipes, terminal: int, size: tuple[int, int]) -> None:
        """Take over our ends of the streams; a terminal gets its first size (height, width) unless that is 0."""
        if terminal >= 0 and size[0] and size[1]:
            pty.resize(terminal, *size)
        stdin, stdout, stderr = pipes.outer
        self.streams.open(stdin, stdout, stderr, terminal)

    def watch(self, pid: int, on_exit: Callable[[int], None]) -> None:
        self.pid = pid

        def ended(status: int) -> None:
            self.status = status
            on_exit(status)

        self.loop.on_exit(pid, ended)

    def signal(self, signo: int) -> None:
        """The pid cannot have been used again: it is ours to reap, and we reap in this thread."""
        if self.status is not None or not self.pid:
            raise errors.NotFound("process already finished")
        os.kill(self.pid, signo)

    def resize(self, height: int, width: int) -> None:
        if self.streams.terminal < 0:
            raise errors.Conflict("process has no terminal")
        pty.resize(self.streams.terminal, height, width)


def attach(process: Process, request: messages.Attach | messages.Exec, fd: int) -> None:
    """Join the client at `fd`, which the process's streams own from here on."""
    wanted = ((request.stdin, STDIN), (request.stdout, STDOUT), (request.stderr, STDERR))
    process.streams.attach(socket(fileno=fd), frozenset(stream for want, stream in wanted if want))
