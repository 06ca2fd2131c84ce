"""Signal names and numbers as `docker kill -s` takes them."""

from __future__ import annotations

from ..errors import InvalidArgument
from ..linux import signals


def number(text: str) -> int:
    """`9`, `KILL`, `SIGKILL`, `RTMIN+3`, in any case; InvalidArgument in Docker's words."""
    try:
        found = signals.number(text)
    except ValueError:
        found = 0
    if not found:
        raise InvalidArgument(f"invalid signal: {text}")
    return found
