"""The terminal: raw mode, its size, and the keys that detach from a container."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from .command import CommandFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"
CONTROL = {**{chr(code + 96): bytes([code]) for code in range(1, 27)}, "@": b"\0", "[": b"\x1b"}
CONTROL.update({"\\": b"\x1c", "]": b"\x1d", "^": b"\x1e", "_": b"\x1f"})


class Detached(Exception):
    """The user typed the detach keys."""


def is_terminal(descriptor: int) -> bool:
    return os.isatty(descriptor)


def check_tty(stdin: bool, tty: bool) -> None:
    if stdin and tty and not is_terminal(0):
        raise CommandFailed("the input device is not a TTY", 1)


def size() -> tuple[int, int] | None:
    """Rows and columns, None where standard output is no terminal."""
    try:
        found = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return None
    return (found.lines, found.columns) if found.lines else None


@contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """Raw mode as cfmakeraw(3) sets it, put back in any case."""
    import termios
    import tty

    saved = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, saved)


def parse_detach_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q` or single characters, separated by commas."""
    keys = b""
    for key in text.split(","):
        name = key.removeprefix("ctrl-")
        if key != name and name in CONTROL:
            keys += CONTROL[name]
        elif len(key) == 1 and key.isascii():
            keys += key.encode()
        else:
            raise CommandFailed(f"invalid detach keys ({text}) provided: Unknown character: '{key}'")
    return keys


class DetachWatcher:
    """Holds typed bytes back while they could still become the detach keys."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, data: bytes) -> bytes:
        """What may be sent on; Detached once the sequence is complete."""
        out = bytearray()
        for byte in data:
            if self._matched and byte != self._keys[self._matched]:
                out += self._keys[: self._matched]
                self._matched = 0
            if self._keys and byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    raise Detached
            else:
                out.append(byte)
        return bytes(out)


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def on_resize(notify: Callable[[int, int], None]) -> None:
    """Call with rows and columns now and whenever the terminal changes."""
    import signal

    def resized(*_: object) -> None:
        found = size()
        if found is not None:
            notify(*found)

    signal.signal(signal.SIGWINCH, resized)
    resized()
