"""Regular expressions that clients send, in time that grows with expression and text and never explodes.

Go's `regexp` promises that (RE2); Python's backtracks, and while it does nothing else runs. So Python parses, and what
it parsed is followed with the set of all places where a match may go on (Thompson, 1968). As in Go, there is nothing
that looks around or back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from re import _compiler, _constants, _parser  # type: ignore[attr-defined] # there is no other way to the parsed form
from typing import Any

from ..errors import InvalidArgument

Places = frozenset[int]
Step = Callable[[str, Places], Places]
"""From where a part of the expression may begin in a text to where it may have ended."""

_LEAVES = (_constants.LITERAL, _constants.NOT_LITERAL, _constants.ANY, _constants.IN, _constants.AT)
_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT)


class Pattern:
    """One expression; InvalidArgument where it is none."""

    def __init__(self, text: str) -> None:
        self._plain: re.Pattern[str] | None = None
        try:
            parsed = _parser.parse(text)
            if all(operation in _LEAVES for operation, _ in parsed):
                self._plain = re.compile(text)  # nothing to backtrack in: a name, as nearly always
            else:
                self._step = _sequence(parsed, parsed.state.flags)
        except (re.error, RecursionError, OverflowError) as error:
            raise InvalidArgument(str(error)) from None

    def found_in(self, text: str) -> bool:
        """Whether it matches anywhere in a text."""
        if self._plain is not None:
            return self._plain.search(text) is not None
        return bool(self._step(text, frozenset(range(len(text) + 1))))


def _sequence(items: Any, flags: int) -> Step:
    steps = [_step(items.state, operation, argument, flags) for operation, argument in items]

    def step(text: str, places: Places) -> Places:
        for one in steps:
            if not places:
                break
            places = one(text, places)
        return places

    return step


def _step(state: Any, operation: Any, argument: Any, flags: int) -> Step:
    if operation in _LEAVES:
        return _leaf(_compiler.compile(_parser.SubPattern(state, [(operation, argument)]), flags))
    if operation is _constants.SUBPATTERN:
        _, added, taken, items = argument
        return _sequence(items, (flags | added) & ~taken)
    if operation is _constants.BRANCH:
        return _branch([_sequence(items, flags) for items in argument[1]])
    if operation in _REPEATS:
        least, most, items = argument
        return _repeat(_sequence(items, flags), least, most)
    raise InvalidArgument(f"invalid or unsupported syntax: {str(operation).lower()}")


def _leaf(character: re.Pattern[str]) -> Step:
    """A character, or a place between two, as Python itself takes it."""

    def step(text: str, places: Places) -> Places:
        matches: Iterable[re.Match[str] | None] = (character.match(text, place) for place in places)
        return frozenset(match.end() for match in matches if match)

    return step


def _branch(steps: list[Step]) -> Step:
    return lambda text, places: frozenset().union(*(step(text, places) for step in steps))


def _repeat(once: Step, least: int, most: int) -> Step:
    def step(text: str, places: Places) -> Places:
        count = 0
        while count < least and (after := once(text, places)) != places:
            places, count = after, count + 1
        ends = new = places
        while new and max(count, least) < most:
            new = once(text, new) - ends
            ends, count = ends | new, count + 1
        return ends

    return step
