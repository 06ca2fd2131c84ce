"""Both ends of a process's stdio."""

from __future__ import annotations

import os

NONE = -1


class Pipes:
    """`inner` is what the process gets, `outer` what the shim keeps; -1 where there is none.

    With a terminal nothing is piped: the pty's master is both.
    """

    def __init__(self, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> None:
        self.inner = [NONE, NONE, NONE]
        self.outer = [NONE, NONE, NONE]
        for number, wanted in enumerate((stdin, stdout, stderr)):
            if wanted and not tty:
                ends = os.pipe2(os.O_CLOEXEC)
                self.inner[number], self.outer[number] = ends if number == 0 else ends[::-1]
            else:
                flags = os.O_RDONLY if number == 0 else os.O_WRONLY
                self.inner[number] = os.open("/dev/null", flags | os.O_CLOEXEC)

    def close_inner(self) -> None:
        """Once the process has its copies."""
        _close(self.inner)

    def close(self) -> None:
        _close(self.inner)
        _close(self.outer)


def _close(fds: list[int]) -> None:
    for number, fd in enumerate(fds):
        if fd >= 0:
            os.close(fd)
            fds[number] = NONE
