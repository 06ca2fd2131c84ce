"""Fault points: named places where a test makes the engine die or its disk fail (S31, S32).

The daemon reads the environment variable `SAMPAN_FAULT` (in `daemon/` only) and hands its text to `arm()`; without it
every point is a look-up in an empty dict. The text is `point=action[@count]`, comma-separated: the action `kill` is
SIGKILL to ourselves, an errno name (`ENOSPC`, `EIO`) is raised as OSError; `@3` acts at the third pass only.
"""

from __future__ import annotations

import errno
import os
import signal

_armed: dict[str, tuple[str, int]] = {}


def arm(spec: str) -> None:
    """Replace what is armed by `spec`; an empty text disarms everything."""
    _armed.clear()
    for part in filter(None, spec.split(",")):
        point, _, action = part.partition("=")
        action, _, count = action.partition("@")
        _armed[point] = (action, int(count or 1))


def point(name: str) -> None:
    """Pass the place `name`; acts when armed for it."""
    if name not in _armed:
        return
    action, count = _armed[name]
    _armed[name] = (action, count - 1)
    if count != 1:
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    code = getattr(errno, action)
    raise OSError(code, f"{os.strerror(code)} (fault point {name})")
