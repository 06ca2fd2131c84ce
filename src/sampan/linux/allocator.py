"""The C library's allocator: mallopt(3), malloc_trim(3). Other C libraries than glibc are left alone."""

from __future__ import annotations

from .libc import libc

_M_ARENA_MAX = -8


def use_one_arena() -> None:
    """No arenas of their own for threads: each would keep the most that its threads ever needed."""
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)


def trim() -> None:
    """Give free pages back to the kernel; takes 0.1 to 0.4 ms."""
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
