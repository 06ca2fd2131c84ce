"""Messages of pulls, pushes, loads and builds: one live line per layer on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from ..model.quantity import human_size
from .command import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TextIO

    from sampan.client.types import Progress

    Aux = Callable[[dict[str, Any]], None]

BAR_WIDTH = 50
NARROW = 110
"""Below this width the bar is left out."""


def display(messages: Iterable[Progress], out: TextIO | None, aux: Aux | None = None) -> None:
    """Print all messages, unless `out` is None; CommandFailed when one of them is an error."""
    screen = None if out is None else _Screen(out)
    for message in messages:
        if "error" in message or "errorDetail" in message:
            raise CommandFailed(_error_text(message), _error_code(message))
        if "aux" in message:
            if aux is not None:
                aux(message["aux"])
            continue
        if screen is not None:
            screen.show(message)


def _error_text(message: Progress) -> str:
    detail = message.get("errorDetail") or {}
    return str(detail.get("message") or message.get("error", ""))


def _error_code(message: Progress) -> int:
    return int((message.get("errorDetail") or {}).get("code") or 1)


class _Screen:
    """Lines by id, below each other; the cursor rests under the last."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._rows: dict[str, int] = {}
        self._started: dict[str, float] = {}

    def show(self, message: Progress) -> None:
        if "stream" in message:
            self._rows.clear()
            self._out.write(message["stream"])
            self._out.flush()
        elif self._live:
            self._show_live(message)
        elif not message.get("progressDetail"):
            self._out.write(_line(message) + "\n")
            self._out.flush()

    def _show_live(self, message: Progress) -> None:
        identity = message.get("id", "")
        if not identity or "progressDetail" not in message:
            # Only what reports progress has a line of its own that changes.
            self._rows.clear()
            self._out.write(_line(message) + "\n")
            return
        if identity not in self._rows:
            self._rows[identity] = len(self._rows)
            self._started[identity] = time.monotonic()
            self._out.write("\n")
        up = len(self._rows) - self._rows[identity]
        line = _line(message) + self._bar(message, identity)
        self._out.write(f"\x1b[{up}A\r\x1b[2K{line}\r\x1b[{up}B")
        self._out.flush()

    def _bar(self, message: Progress, identity: str) -> str:
        detail = message.get("progressDetail") or {}
        current, total = detail.get("current", 0), detail.get("total", 0)
        if not current:
            return ""
        from .usage import terminal_width

        if total <= 0 or current > total:
            return f" {human_size(current):>8}"
        numbers = f" {human_size(current):>8}/{human_size(total)}{self._left(identity, current, total)}"
        if terminal_width() <= NARROW:
            return numbers
        filled = current * BAR_WIDTH // total
        return " [" + ("=" * filled + ">").ljust(BAR_WIDTH)[:BAR_WIDTH] + "] " + numbers

    def _left(self, identity: str, current: int, total: int) -> str:
        elapsed = time.monotonic() - self._started[identity]
        left = int(elapsed / current * (total - current))
        return f" {left}s" if left > 0 else ""


def _line(message: Progress) -> str:
    prefix = f"{message['id']}: " if message.get("id") else ""
    return prefix + message.get("status", "")
