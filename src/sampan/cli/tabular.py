"""Listings: columns under headers, `--format` templates, JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from .command import CommandFailed
from .template import Template, TemplateError, TemplateSyntaxError
from .template_functions import FUNCTIONS
from .template_values import Fields

MINIMUM_WIDTH = 10
PADDING = 3
JSON = "{{json .}}"


def _unchanged(value: Any, *others: Any) -> Any:
    return value


HEADER_FUNCTIONS = {**FUNCTIONS, **dict.fromkeys(("json", "split", "join", "truncate", "lower", "title"), _unchanged)}
"""In a header line these show the column's name."""


class View:
    """How one kind of record is shown. A column has a header, which may be empty, and a getter of the record."""

    __slots__ = ("columns", "quiet", "raw", "table", "type_name")

    def __init__(
        self,
        type_name: str,
        table: str,
        columns: dict[str, tuple[str, Callable[[Any], Any]]],
        quiet: str = "{{.ID}}",
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


def table_of(names: str) -> str:
    """A table template of blank-separated field names."""
    return "\t".join(f"{{{{.{name}}}}}" for name in names.split())


def unescape(text: str) -> str:
    return text.replace("\\t", "\t").replace("\\n", "\n")


def show(view: View, records: Iterable[Any], template: str = "", quiet: bool = False) -> None:
    """Print the records; an empty `template` means the default table, or the names alone when `quiet`."""
    source, with_header = _source(view, template.strip(), quiet)
    lines = []
    try:
        if with_header:
            lines.append(Template(source, HEADER_FUNCTIONS).render(view.headers()))
        compiled = Template(source)
        if not with_header:
            compiled.render(view.headers())  # an unknown field is an error even where there is nothing to show
        lines.extend(compiled.render(view.row(record)) for record in records)
    except TemplateSyntaxError as error:
        raise CommandFailed(f"failed to parse template: {error}") from None
    except TemplateError as error:
        raise CommandFailed(f"failed to execute template: {error}") from None
    out = "".join(line + "\n" for line in lines)
    sys.stdout.write(align(out) if with_header else out)


def _source(view: View, template: str, quiet: bool) -> tuple[str, bool]:
    """The template proper, and whether a header stands above it."""
    if quiet and template in ("", "table"):
        return view.quiet, False
    if template in ("", "table"):
        return view.table, True
    if template == "raw" and view.raw:
        return view.raw, False
    if template.startswith("table"):
        return unescape(template[5:].lstrip()), True
    return (JSON, False) if template == "json" else (unescape(template), False)


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
