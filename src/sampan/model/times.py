"""Times as the Engine API writes them: RFC 3339 in UTC with nanoseconds, trailing zeros dropped as Go does. Pure."""

from __future__ import annotations

import time
from datetime import datetime

from .state import NEVER


def rfc3339(nanoseconds: int) -> str:
    """The API's form of nanoseconds since the epoch: `2026-11-29T18:30:30.123456789Z`."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"


def now() -> str:
    """This moment in the API's form."""
    return rfc3339(time.time_ns())


def nanoseconds(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time with any zone; ValueError, OverflowError when it is none.

    `NEVER` (Go's zero time) is 0.
    """
    return 0 if text == NEVER else instant(text)


def instant(text: str) -> int:
    """The same, negative for `NEVER`, as integers of the API count it."""
    whole, dot, rest = text.partition(".")
    if not dot:
        return round(datetime.fromisoformat(text).timestamp()) * 1_000_000_000
    digits = len(rest) - len(rest.lstrip("0123456789"))
    fraction, zone = rest[:digits], rest[digits:]
    seconds = round(datetime.fromisoformat(whole + zone).timestamp())
    return seconds * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
