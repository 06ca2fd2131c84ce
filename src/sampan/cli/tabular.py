"""Listings: columns under headers; `--format` is in `formats`."""

from __future__ import annotations

import sys

from .template_values import Fields, go_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

MINIMUM_WIDTH = 10
PADDING = 3


class View:
    """How one kind of record is shown. A column has a header, which may be empty, and a getter of the record.

    `table` names the columns that are shown unasked, `quiet` the one that is shown alone.
    """

    __slots__ = ("columns", "quiet", "raw", "table", "type_name")

    def __init__(
        self,
        type_name: str,
        table: str,
        columns: dict[str, tuple[str, Callable[[Any], Any]]],
        quiet: str = "ID",
        raw: str = "",
    ) -> None:
        self.type_name, self.table, self.columns = type_name, table, columns
        self.quiet, self.raw = quiet, raw

    def row(self, record: Any) -> Fields:
        return Fields(self.type_name, {name: column[1] for name, column in self.columns.items()}, record)

    def headers(self) -> Fields:
        getters: dict[str, Callable[[Any], Any]] = {
            name: _constant(header) for name, (header, _) in self.columns.items()
        }
        getters["Label"] = lambda record: lambda key: key
        return Fields(self.type_name, getters, None)


def _constant(text: str) -> Callable[[Any], str]:
    return lambda record: text


def show(
    view: View, records: Iterable[Any], template: str = "", quiet: bool = False, columns: str | None = None
) -> None:
    """Print the records: their default columns or these, one column alone when `quiet`, or by a template."""
    template = template.strip()
    if template not in ("", "table"):
        from . import formats

        text, aligned = formats.listing(view, records, template)
    elif quiet:
        text, aligned = _lines(view, [view.quiet], records), False
    else:
        shown = (columns or view.table).split()
        headers = "\t".join(view.columns[name][0] for name in shown)
        text, aligned = f"{headers}\n{_lines(view, shown, records)}", True
    sys.stdout.write(align(text) if aligned else text)


def _lines(view: View, names: list[str], records: Iterable[Any]) -> str:
    getters = [view.columns[name][1] for name in names]
    return "".join("\t".join(go_text(getter(record)) for getter in getters) + "\n" for record in records)


def align(text: str, minimum: int = MINIMUM_WIDTH, padding: int = PADDING) -> str:
    """Cells end with tabs; columns get the width of their widest cell in the block of lines that have that column."""
    rows = [line.split("\t") for line in text.split("\n")]
    widths: list[list[int]] = [[0] * (len(row) - 1) for row in rows]
    _set_widths(rows, widths, (minimum, padding), 0, 0, len(rows))
    lines = []
    for row, width in zip(rows, widths, strict=True):
        cells = [cell.ljust(cell_width) for cell, cell_width in zip(row, width, strict=False)]
        lines.append("".join(cells) + row[-1])
    return "\n".join(lines)


def _set_widths(
    rows: list[list[str]], widths: list[list[int]], spacing: tuple[int, int], column: int, start: int, end: int
) -> None:
    """Blocks of consecutive rows with a cell in `column`, each with its own width (as Go's tabwriter has them)."""
    position = start
    while position < end:
        if len(widths[position]) <= column:
            position += 1
            continue
        stop = position
        while stop < end and len(widths[stop]) > column:
            stop += 1
        width = max(spacing[0], *(len(rows[row][column]) + spacing[1] for row in range(position, stop)))
        for row in range(position, stop):
            widths[row][column] = width
        _set_widths(rows, widths, spacing, column + 1, position, stop)
        position = stop
