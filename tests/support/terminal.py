"""A command on a terminal of its own, as a user sits at it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from types import TracebackType


class Terminal:
    """Runs a command with a pseudo terminal as its controlling one; reads what it shows and types into it."""

    def __init__(self, argv: Sequence[str], env: dict[str, str], *, rows: int = 24, columns: int = 80) -> None:
        self._fd, slave = pty.openpty()
        self.resize(rows, columns)
        self.shown = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *argv], stdin=slave, stdout=slave, stderr=slave, env=env
        )
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)

    def resize(self, rows: int, columns: int) -> None:
        """Change the window's size; the kernel signals the foreground processes."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def expect(self, text: str, timeout: float = 20) -> bytes:
        """Wait until `text` was shown; what came before and with it. Later calls look behind it."""
        wanted, deadline = text.encode(), time.monotonic() + timeout
        while wanted not in self.shown:
            assert self._read(deadline), f"{text!r} is not shown, but {self.shown!r}"
        before, _, self.shown = self.shown.partition(wanted)
        return before + wanted

    def finish(self, timeout: float = 20) -> int:
        """Read to the end; the exit status."""
        deadline = time.monotonic() + timeout
        while self._read(deadline):
            pass
        return self.process.wait(max(deadline - time.monotonic(), 0.1))

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._fd], [], [], max(deadline - time.monotonic(), 0))
        if not ready:
            return False
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # EIO: the last process has closed the terminal (pty(7))
            return False
        self.shown += data
        return bool(data)
