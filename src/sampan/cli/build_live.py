"""A build on a terminal: a table that is drawn anew ten times a second, as BuildKit's.

    [+] Building 2.4s (3/5)
     => [build 1/3] FROM busybox                     0.1s
     => CACHED [build 2/3] RUN …                     0.0s
     => [build 3/3] RUN make                         1.9s
     => => # cc -o main main.c

A row a step, below those that run the last lines of their output. What does not fit is left out: first output, then
steps that are done; the last drawing has every step again.
"""

from __future__ import annotations

import os
import re
import threading
import time
import unicodedata
from typing import TextIO

from .build_progress import Event, Step, Steps, warning

SHOWN_LINES = 6
"""Of a running step's output."""
PERIOD = 0.1
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
"""Control sequences (ECMA-48) and operating system commands that programs write into their output."""
_COLOURS = {"ERROR ": "31", "CANCELED ": "33", "CACHED ": "34", "": "34"}


class Live(Steps):
    """Draws in a thread of its own; `event` may come from any one."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._began = time.time()
        self._drawn = 0
        self._size = _size(out)
        self._coloured = not os.environ.get("NO_COLOR")
        self._notes: list[str] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._painter = threading.Thread(target=self._paint, daemon=True)
        self._painter.start()

    def event(self, event: Event) -> None:
        with self._lock:
            self.note(event)
            if event["event"] == "Warned":
                self._notes.append(warning(event))
            elif event["event"] == "Text":
                self._notes.append(event["text"].rstrip("\n"))
            elif event["event"] == "Explained" and not event["hit"]:
                step = self.step(event)
                title = step.title if step is not None else ""
                self._notes += [f"{title}: not cached: {reason}" for reason in event.get("reasons", ())]

    def close(self, failed: bool) -> None:
        self._over.set()
        self._painter.join()
        with self._lock:
            self._show(self._whole(failed))
        for note in self._notes:
            self.out.write(note + "\n")
        if failed:
            self.epilogue()

    def _paint(self) -> None:
        while not self._over.wait(PERIOD):
            with self._lock:
                self._show(self._fitting())

    def _show(self, rows: list[str]) -> None:
        size, before = _size(self.out), self._size
        if size[0] < before[0] or size[1] < before[1]:
            # Rows that a narrower window wraps or drops cannot be counted back: begin on a clean screen.
            self.out.write("\x1b[2J\x1b[H")
            self._drawn = 0
        self._size = size
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self.out.write("\x1b[?25l" + up + "".join(f"\r\x1b[2K{row}\n" for row in rows) + "\x1b[J\x1b[?25h")
        self.out.flush()
        self._drawn = len(rows)

    def _fitting(self) -> list[str]:
        """The header and as much as the window has room for."""
        width, height = _size(self.out)
        room = max(1, height - 2)
        running = [step for step in self.steps.values() if not step.ended][-room:]
        lines = max(0, min(SHOWN_LINES, (room - len(running)) // len(running))) if running else 0
        blocks = {step.index: self._block(step, width, lines) for step in running}
        left = room - sum(len(block) for block in blocks.values())
        done = [step for step in self.steps.values() if step.ended]
        for step in reversed(done):
            rows = [self._row(step, width), *self._statuses(step, width)]
            if len(rows) > left:
                break
            blocks[step.index] = rows
            left -= len(rows)
        return [self._header("", width), *(row for index in sorted(blocks) for row in blocks[index])]

    def _whole(self, failed: bool) -> list[str]:
        width, _ = _size(self.out)
        return [self._header("" if failed else " FINISHED", width),
                *(row for step in self.steps.values()
                  for row in (self._row(step, width, over=True), *self._statuses(step, width)))]  # fmt: skip

    def _header(self, state: str, width: int) -> str:
        done = sum(1 for step in self.steps.values() if step.ended)
        total = len(self.planned | set(self.steps))
        return cut(f"[+] Building {time.time() - self._began:.1f}s ({done}/{total}){state}", width)

    def _block(self, step: Step, width: int, lines: int) -> list[str]:
        shown = [*self._statuses(step, width), *(cut(f" => => # {line}", width) for line in step.shown())]
        return [self._row(step, width), *(shown[-lines:] if lines else ())]

    def _statuses(self, step: Step, width: int) -> list[str]:
        now = time.time()
        return [
            _timed(f" => => {text}", (ended or now) - began, width) for text, (began, ended) in step.statuses.items()
        ]

    def _row(self, step: Step, width: int, *, over: bool = False) -> str:
        mark = "ERROR " if step.error else "CACHED " if step.cached else "CANCELED " if over and not step.ended else ""
        text = _timed(f" => {mark}{step.title}", step.took, width)
        coloured = self._coloured and (step.ended or over)
        return f"\x1b[{_COLOURS[mark]}m{text}\x1b[0m" if coloured else text


def _timed(text: str, seconds: float, width: int) -> str:
    """A row that ends with how long it took."""
    right = f"{max(0.0, seconds):.1f}s"
    return fill(text, max(10, width - len(right) - 1)) + f" {right}"


def _size(out: TextIO) -> tuple[int, int]:
    """Columns and rows of the window."""
    try:
        columns, rows = os.get_terminal_size(out.fileno())
    except OSError:
        return 80, 24
    return columns or 80, rows or 24


def cut(text: str, width: int) -> str:
    """As much of a text as fits into a row, without what would move the cursor or change colours."""
    shown, used = [], 0
    for char in _SEQUENCE.sub("", text).replace("\t", "    "):
        columns = _columns(char)
        if used + columns > width:
            break
        if char.isprintable():
            shown.append(char)
            used += columns
    return "".join(shown)


def fill(text: str, width: int) -> str:
    """`cut`, with blanks up to the width."""
    short = cut(text, width)
    return short + " " * (width - sum(map(_columns, short)))


def _columns(char: str) -> int:
    if unicodedata.combining(char) or not char.isprintable():
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
