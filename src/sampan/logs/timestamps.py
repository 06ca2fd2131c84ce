"""RFC 3339 with nanoseconds, as Go's RFC3339Nano."""

from __future__ import annotations

import time

_second = (-1, b"")


def rfc3339(timestamp_ns: int) -> bytes:
    """In UTC; trailing zeros of the fraction are left out, as Go leaves them out."""
    global _second
    seconds, fraction = divmod(timestamp_ns, 1_000_000_000)
    if _second[0] != seconds:
        _second = (seconds, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode())
    digits = b".%09d" % fraction if fraction else b""
    return _second[1] + digits.rstrip(b"0") + b"Z"


def fixed_rfc3339(timestamp_ns: int) -> bytes:
    """As `rfc3339`, always with nine digits: what `logs --timestamps` shows."""
    seconds, fraction = divmod(timestamp_ns, 1_000_000_000)
    return b"%b.%09dZ" % (rfc3339(seconds * 1_000_000_000)[:-1], fraction)
