"""`--help` in the shape of Docker's: usage, description, aliases, wrapped options."""

from __future__ import annotations

import os
import sys

from ..model.quantity import go_duration
from .flags import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .command import Command

SLOP = 5
"""A last line may run over by so much rather than leave an orphan word."""
FORMAT_HELP = """Format output using a custom template:
{table}'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates"""
TABLE_HELP = """'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
"""
FORMAT_USAGE = FORMAT_HELP.format(table=TABLE_HELP)
INSPECT_FORMAT_USAGE = FORMAT_HELP.format(table="")


def terminal_width() -> int:
    try:
        return max(os.get_terminal_size(sys.stdout.fileno()).columns, 80)
    except (OSError, ValueError):
        return 80


def _split_line(text: str, limit: int) -> tuple[str, str]:
    if limit + SLOP > len(text):
        return text, ""
    cut = max(text.rfind(space, 0, limit) for space in " \t\n")
    if cut <= 0:
        return text, ""
    newline = text.rfind("\n", 0, limit)
    if 0 < newline < cut:
        cut = newline
    return text[:cut], text[cut + 1 :]


def _default(flag: Flag) -> str:
    if "(default" in flag.usage or not flag.default:
        return ""
    if flag.kind == "duration":
        return f" (default {go_duration(flag.default)})"
    if isinstance(flag.default, str):
        return f' (default "{flag.default}")'
    return f" (default {str(flag.default).lower()})"


def flag_lines(flags: list[Flag], width: int) -> str:
    rows = []
    for flag in sorted(flags, key=lambda flag: flag.name):
        if flag.hidden:
            continue
        left = f"  -{flag.short}, --{flag.name}" if flag.short else f"      --{flag.name}"
        rows.append((left + ("" if flag.kind == "bool" else f" {flag.kind}"), flag.usage + _default(flag)))
    indent = max((len(left) for left, _ in rows), default=0) + 3
    return "\n".join(left.ljust(indent) + _hanging(text, indent, width) for left, text in rows)


def _hanging(text: str, indent: int, width: int) -> str:
    line, rest = _split_line(text, width - indent - SLOP)
    lines = line.split("\n")
    while rest:
        line, rest = _split_line(rest, width - indent - SLOP)
        lines.extend(line.split("\n"))
    return ("\n" + " " * indent).join(lines)


def command_help(name: str, command: Command, aliases: list[str]) -> str:
    parts = [command.use_line(name), command.long]
    if len(aliases) > 1:
        parts.append("Aliases:\n  " + ", ".join(f"sampan {alias}" for alias in aliases))
    if any(not flag.hidden for flag in command.flags):
        parts.append("Options:\n" + flag_lines(list(command.flags), terminal_width() - 1))
    return "\n\n".join(parts)


def listing(title: str, entries: list[tuple[str, str]], pad: int = 0) -> str:
    indent = max(pad, *(len(name) for name, _ in entries)) + 2
    return f"{title}:\n" + "\n".join(f"  {name.ljust(indent)}{summary}" for name, summary in entries)
