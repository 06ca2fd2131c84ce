"""A terminal's window with an emulator behind it: what a user sees of a program that draws."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Callable
from typing import TextIO

import pyte


class Window:
    """`out` is the program's end. `rows` are the lines that are seen now, without blanks at their ends."""

    def __init__(self, rows: int, columns: int) -> None:
        self._master, slave = pty.openpty()
        self.out: TextIO = os.fdopen(slave, "w", encoding="utf-8")
        self._screen = pyte.HistoryScreen(columns, rows, history=1000)
        self._screen.set_mode(pyte.modes.LNM)
        self._stream = pyte.ByteStream(self._screen)
        self.resize(rows, columns)

    def resize(self, rows: int, columns: int) -> None:
        """Another size; the emulator cuts what it shows as xterm does."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._screen.resize(rows, columns)

    @property
    def rows(self) -> list[str]:
        return [line.rstrip() for line in self._screen.display]

    @property
    def scrolled(self) -> list[str]:
        """What has left the window at its top."""
        return ["".join(line[column].data for column in sorted(line)).rstrip() for line in self._screen.history.top]

    def colour(self, text: str) -> str:
        """The foreground colour of the row that has a text."""
        number = next(number for number, row in enumerate(self.rows) if text in row)
        return str(self._screen.buffer[number][1].fg)

    def wait(self, seen: Callable[[list[str]], bool], timeout: float = 30) -> list[str]:
        """Read until the rows are as wanted; the rows. While a program hides the cursor its drawing is not complete."""
        deadline = time.monotonic() + timeout
        while self._screen.cursor.hidden or not seen(self.rows):
            assert self._read(max(0.0, deadline - time.monotonic())), "\n".join(self.rows)
        return self.rows

    def settle(self) -> list[str]:
        """Read what there is; the rows."""
        while self._read(0):
            pass
        return self.rows

    def _read(self, timeout: float) -> bool:
        if not select.select([self._master], [], [], timeout)[0]:
            return False
        self._stream.feed(os.read(self._master, 1 << 16))
        return True

    def close(self) -> None:
        self.out.close()
        os.close(self._master)
