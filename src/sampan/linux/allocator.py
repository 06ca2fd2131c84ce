"""The C library's allocator: mallopt(3), malloc_trim(3). Other C libraries than glibc are left alone."""

from __future__ import annotations

from .libc import libc

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def use_one_arena() -> None:
    """No arenas of their own for threads: each would keep the most that its threads ever needed."""
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)


def keep_large_blocks() -> None:
    """Blocks of up to 8 MB come from the heap, of which 64 MB stay until `trim`.

    Else each chunk of a stream gets new pages, which fault one by one: a tenth of the processor time that a load takes.
    """
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 8 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 64 << 20)


def trim() -> None:
    """Give free pages back to the kernel; takes 0.1 to 0.4 ms."""
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
