"""The ids that this thread makes files with: setfsuid(2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .capabilities import capget, capset
from .libc import libc


@contextmanager
def file_system_ids(uid: int, gid: int) -> Iterator[None]:
    """Be these ids in the eyes of file systems, with all capabilities kept; only this thread, so nothing may await.

    An id-mapped mount refuses what is made by an id that it does not map (EOVERFLOW), root's too.
    """
    effective, permitted, inheritable = capget()
    libc.setfsgid(gid)
    libc.setfsuid(uid)
    # Leaving 0 drops the capabilities that concern files (capabilities(7)); they are permitted all the same.
    capset(effective, permitted, inheritable)
    try:
        yield
    finally:
        libc.setfsuid(0)
        libc.setfsgid(0)
        capset(effective, permitted, inheritable)
