"""`--filter key=value`."""

from __future__ import annotations

Filters = dict[str, list[str]]


def parse(texts: list[str]) -> Filters | None:
    """The API's form; None without filters. Their syntax was checked as flags."""
    found: Filters = {}
    for text in texts:
        key, _, value = text.partition("=")
        found.setdefault(key.strip().lower(), []).append(value.strip())
    return found or None
