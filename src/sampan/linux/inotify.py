"""inotify(7)."""

from __future__ import annotations

import os

from . import cdata
from .libc import check, libc

IN_MODIFY = 0x0002
IN_MOVED_TO = 0x0080
IN_CREATE = 0x0100
IN_NONBLOCK = os.O_NONBLOCK
IN_CLOEXEC = os.O_CLOEXEC


def init() -> int:
    """inotify_init1(2): a non-blocking, close-on-exec fd."""
    return check(libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC), "inotify_init1")


def add_watch(fd: int, path: str, mask: int) -> int:
    """inotify_add_watch(2)."""
    return check(libc.inotify_add_watch(fd, cdata.c_char_p(os.fsencode(path)), mask), path)
