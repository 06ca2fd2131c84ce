"""What a word that nobody knows was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable

_FAR = 3
"""So many edits apart two names are no longer thought to be meant for each other."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is nearest, the first of several; empty where all are far."""
    best, found = _FAR, ""
    for choice in known:
        distance = _edits(name, choice)
        if distance < best:
            best, found = distance, choice
    return found


def hint(name: str, known: Iterable[str]) -> str:
    """What to say of it, the last in the alphabet of those that are equally near; empty where nothing is."""
    found = nearest(name, sorted(known, reverse=True))
    return f"did you mean {found}?" if found else ""


def _edits(one: str, other: str) -> int:
    """Levenshtein's distance."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        above, row[0] = row[0], number
        for column, wanted in enumerate(other, 1):
            above, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, above + (letter != wanted))
    return row[-1]
