"""`INCLUDE file`: instructions of another file of the context, where `# syntax=sampan/dockerfile` allows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from ...dockerfile.parser import Dockerfile, Instruction, parse

SYNTAX = "sampan/dockerfile"
_DEEPEST = 16

ReadFile = Callable[[str], str]
"""The text of a file of the context; InvalidArgument where there is none."""


def include(dockerfile: Dockerfile, read: ReadFile) -> Dockerfile:
    """The file with every INCLUDE replaced by the instructions of what it names, which keep the INCLUDE's line."""
    first = next((one for one in dockerfile.instructions if one.name == "INCLUDE"), None)
    if first is None:
        return dockerfile
    if not dockerfile.directives.get("syntax", "").startswith(SYNTAX):
        raise first.error("unknown instruction: INCLUDE", f"it needs `# syntax={SYNTAX}` at the top of the file")
    return replace(dockerfile, instructions=tuple(_expanded(dockerfile.instructions, read, 0)))


def _expanded(instructions: Sequence[Instruction], read: ReadFile, depth: int) -> Iterator[Instruction]:
    for one in instructions:
        if one.name != "INCLUDE":
            yield one
            continue
        if depth == _DEEPEST:
            raise one.refusal(f"INCLUDE is nested more than {_DEEPEST} deep")
        for path in one.arguments:
            for found in _expanded(parse(read(path)).instructions, read, depth + 1):
                yield replace(found, line=replace(found.line, first=one.line.first, last=one.line.last))
