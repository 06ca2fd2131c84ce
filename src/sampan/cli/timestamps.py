"""Times as commands read and print them."""

from __future__ import annotations

import time

from ..model.quantity import human_duration, parse_duration


def local_time(seconds: float) -> str:
    """`2026-11-29 18:33:36 +0000 UTC`, as Go prints a time."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def local_iso(seconds: float) -> str:
    """RFC 3339 with our zone; `Z` for UTC."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))
    return text[:-5] + "Z" if text.endswith("+0000") else f"{text[:-2]}:{text[-2:]}"


def ago(seconds: float) -> str:
    return human_duration(time.time() - seconds) + " ago"


def seconds_of(text: str) -> float:
    """Of an RFC 3339 time."""
    from datetime import datetime  # a millisecond; strptime and calendar are four

    return datetime.fromisoformat(text).timestamp()


def api_timestamp(text: str) -> str:
    """`--since`/`--until` as the API takes them: seconds since the epoch, with a fraction.

    A Go duration is so long ago; a date without a zone is in ours; anything else is left for the daemon to judge.
    """
    try:
        moment = time.time_ns() - parse_duration(text)
        return f"{moment // 10**9}.{moment % 10**9:09d}"
    except ValueError:
        pass  # not a duration
    if text.replace(".", "", 1).isdigit():
        return text
    return _parse_date(text)


def _parse_date(text: str) -> str:
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    whole = int(moment.astimezone().timestamp())
    return f"{whole}.{moment.microsecond * 1000:09d}"
