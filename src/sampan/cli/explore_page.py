"""`image explore` on a terminal: the layers on the left, the files after the chosen one on the right."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ..model.quantity import human_size
from .terminal import raw, size, write_all

if TYPE_CHECKING:
    from sampan.image.contents import LayerContents
    from sampan.image.explore import Report
    from sampan.image.layertree import Node

_COLOURS: Final = {"A": "\x1b[32m", "M": "\x1b[33m", "D": "\x1b[31m"}
_PLAIN, _REVERSED = "\x1b[0m", "\x1b[7m"
_HELP: Final = "tab: other side   up/down   space: fold   c: changes only   q: leave"
_KEYS: Final = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOA": "up", b"\x1bOB": "down", b"k": "up", b"j": "down",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down", b"\t": "tab", b" ": "fold", b"\r": "fold", b"c": "changes",
    b"q": "leave", b"\x03": "leave", b"\x1b": "leave",
}  # fmt: skip


@dataclass
class Page:
    """What is shown and what keys do to it; no terminal is needed."""

    name: str
    layers: list[LayerContents]
    report: Report
    layer: int = 0
    row: int = 0
    in_files: bool = False
    only_changes: bool = False
    height: int = 24
    _opened: set[str] = field(default_factory=set)
    _top: int = 0
    _tree: Node | None = None

    def press(self, key: str) -> bool:
        """Whether the page goes on."""
        action = _ACTIONS.get(key)
        if action is not None:
            action(self)
        return key != "leave"

    def move(self, step: int) -> None:
        """The other layer, or the other file."""
        if self.in_files:
            self.row = min(max(self.row + step, 0), max(len(self.rows()) - 1, 0))
        else:
            self.layer = min(max(self.layer + step, 0), len(self.layers) - 1)
            self._tree, self.row, self._top = None, 0, 0

    def switch(self) -> None:
        """To the other side."""
        self.in_files = not self.in_files

    def fold(self) -> None:
        """Open or close the chosen directory."""
        rows = self.rows()
        if self.in_files and rows and rows[self.row][1].is_directory:
            self._opened ^= {rows[self.row][1].path}

    def toggle_changes(self) -> None:
        """All files, or those that the layer touched."""
        self.only_changes = not self.only_changes
        self.row = self._top = 0

    def rows(self) -> list[tuple[int, Node]]:
        """The visible files with their depth."""
        from sampan.image.layertree import tree

        if not self.layers:
            return []
        if self._tree is None:
            self._tree = tree(self.layers, self.layer)
        return list(self._visible(self._tree, 0))

    def _visible(self, node: Node, depth: int) -> Iterator[tuple[int, Node]]:
        for child in node.sorted():
            if self.only_changes and child.mark == " ":
                continue
            yield depth, child
            if child.path in self._opened:
                yield from self._visible(child, depth + 1)

    def render(self, height: int, width: int) -> list[str]:
        """As many lines as the terminal has."""
        self.height = height
        body, left = max(height - 4, 1), min(max(width // 3, 24), 60)
        layers, files = self._layer_lines(body, left - 1), self._file_lines(body, width - left)
        lines = [f"{self._title()}"[:width], f"{'LAYERS':<{left}}{'FILES AFTER THE LAYER'[: width - left]}"]
        lines += [f"{one}{_PLAIN} {other}{_PLAIN}" for one, other in zip(layers, files, strict=True)]
        return [*lines, self._detail()[:width], _HELP[:width]]

    def _title(self) -> str:
        report = self.report
        return (
            f"{self.name}: {human_size(report.size)}, {human_size(report.wasted)} wasted, "
            f"efficiency {report.efficiency:.2%}"
        )

    def _detail(self) -> str:
        if not self.layers:
            return "no layers"
        found = self.report.layers[self.layer]
        return f"{found.added} added, {found.changed} changed, {found.removed} removed   {found.command}"

    def _layer_lines(self, count: int, width: int) -> list[str]:
        first = max(0, min(self.layer - count // 2, len(self.layers) - count))
        lines = []
        for number in range(first, first + count):
            if number >= len(self.layers):
                lines.append(" " * width)
                continue
            found = self.report.layers[number]
            text = f"{human_size(found.size):>9}  {_printable(found.command)}"[:width].ljust(width)
            lines.append(self._chosen(text, number == self.layer, not self.in_files))
        return lines

    def _file_lines(self, count: int, width: int) -> list[str]:
        rows = self.rows()
        self._top = max(min(self._top, self.row), self.row - count + 1)
        lines = []
        for number, (depth, node) in enumerate(rows[self._top : self._top + count], self._top):
            sign = ("- " if node.path in self._opened else "+ ") if node.is_directory else "  "
            name = f"{'  ' * depth}{sign}{_printable(node.name)}{'/' if node.is_directory else ''}"
            text = f"{node.mark} {human_size(node.size):>9}  {name}"[:width]
            colour = _COLOURS.get(node.mark, "")
            lines.append(colour + self._chosen(text, number == self.row, self.in_files))
        return lines + [""] * (count - len(lines))

    def _chosen(self, text: str, is_chosen: bool, has_focus: bool) -> str:
        return (_REVERSED if has_focus else "\x1b[1m") + text if is_chosen else text


_ACTIONS: Final[dict[str, Callable[[Page], None]]] = {
    "up": lambda page: page.move(-1),
    "down": lambda page: page.move(1),
    "page up": lambda page: page.move(4 - page.height),
    "page down": lambda page: page.move(page.height - 4),
    "tab": Page.switch,
    "fold": Page.fold,
    "changes": Page.toggle_changes,
}


def _printable(text: str) -> str:
    """An image's own names and commands cannot write to the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def show(page: Page) -> None:
    """Run the page on the terminal until the user leaves."""
    with _screen(), _resizes() as resized:
        while True:
            height, width = size() or (24, 80)
            lines = page.render(height, width)
            text = "".join(f"\x1b[{number};1H\x1b[2K{line}{_PLAIN}" for number, line in enumerate(lines, 1))
            write_all(sys.stdout.fileno(), text.encode(errors="replace"))
            if not page.press(_key(resized)):
                return


@contextmanager
def _screen() -> Iterator[None]:
    """The terminal's other screen, raw and without a cursor."""
    with raw(sys.stdin.fileno()):
        write_all(sys.stdout.fileno(), b"\x1b[?1049h\x1b[?25l\x1b[2J")
        try:
            yield
        finally:
            write_all(sys.stdout.fileno(), b"\x1b[?25h\x1b[?1049l")


@contextmanager
def _resizes() -> Iterator[int]:
    """An fd that becomes readable when the terminal's size changes."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before = signal.signal(signal.SIGWINCH, lambda *_: os.write(writing, b"."))
    try:
        yield reading
    finally:
        signal.signal(signal.SIGWINCH, before)
        os.close(reading)
        os.close(writing)


def _key(resized: int) -> str:
    ready, _, _ = select.select([sys.stdin.fileno(), resized], [], [])
    if resized in ready:
        os.read(resized, 4096)
        return "resize"
    typed = os.read(sys.stdin.fileno(), 16)
    return _KEYS.get(typed, "" if typed else "leave")
