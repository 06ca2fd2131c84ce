"""Signal names and numbers as `docker kill -s` takes them."""

from __future__ import annotations

import signal

from ..errors import InvalidArgument

RTMIN, RTMAX = 34, 64


def number(text: str) -> int:
    """`9`, `KILL`, `SIGKILL`, `RTMIN+3`, in any case; InvalidArgument in Docker's words."""
    if text.isascii() and text.isdecimal():
        if int(text) == 0 or int(text) > RTMAX:
            raise InvalidArgument(f"invalid signal: {text}")
        return int(text)
    name = text.upper().removeprefix("SIG")
    try:
        return _real_time(name) or signal.Signals[f"SIG{name}"]
    except (KeyError, ValueError):
        raise InvalidArgument(f"invalid signal: {text}") from None


def _real_time(name: str) -> int:
    for base, start in (("RTMIN", RTMIN), ("RTMAX", RTMAX)):
        if name == base:
            return start
        if name.startswith((f"{base}+", f"{base}-")):
            value = start + int(name[len(base) :])
            if not RTMIN <= value <= RTMAX:
                raise ValueError(name)
            return value
    return 0
