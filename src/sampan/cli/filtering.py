"""`--filter key=value`."""

from __future__ import annotations

from .command import CommandFailed

Filters = dict[str, list[str]]


def parse(texts: list[str]) -> Filters | None:
    """The API's form; None without filters."""
    found: Filters = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise CommandFailed(f'invalid argument "{text}" for "-f, --filter" flag: invalid filter \'{text}\'', 125)
        found.setdefault(key.strip().lower(), []).append(value.strip())
    return found or None
