"""Whether an error came in a daemon's answer: a command says so in front of it. Apart, because it imports nothing."""

from __future__ import annotations

FROM_DAEMON = "the daemon's answer"


def from_daemon(error: Exception) -> bool:
    return FROM_DAEMON in getattr(error, "__notes__", ())
