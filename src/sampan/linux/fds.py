"""Passing, closing and making file descriptors.

`_socket` is the C half of `socket`: the same objects without the 4 ms that importing `socket` costs.
"""

from __future__ import annotations

import os
from _socket import CMSG_SPACE, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET, socket
from struct import calcsize, pack, unpack

from .libc import check, libc, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CLOSE_RANGE_CLOEXEC = 4
MAX_FDS = 253
"""The kernel's limit for one message (SCM_MAX_FD)."""


def send_fds(sock: socket, data: bytes, fds: Iterable[int]) -> int:
    """sendmsg(2) with SCM_RIGHTS; how many bytes of `data` (at least one byte) were taken."""
    numbers = tuple(fds)
    rights = [(SOL_SOCKET, SCM_RIGHTS, pack(f"{len(numbers)}i", *numbers))] if numbers else []
    return sock.sendmsg([data], rights)


def recv_fds(sock: socket, size: int, max_fds: int = 16) -> tuple[bytes, list[int]]:
    """recvmsg(2): up to `size` bytes and the fds that came along, close-on-exec; b"" at the end of the stream."""
    width = calcsize("i")
    data, ancillary, _flags, _ = sock.recvmsg(size, CMSG_SPACE(max_fds * width), MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, payload in ancillary:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            count = len(payload) // width
            fds.extend(unpack(f"{count}i", payload[: count * width]))
    return data, fds


def accept(listener: int) -> int:
    """accept4(2): the fd of the next connection, close-on-exec."""
    return check(libc.accept4(listener, None, None, os.O_CLOEXEC), "accept")


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """close_range(2), Linux 5.9; with CLOSE_RANGE_CLOEXEC they are closed by execve only."""
    syscall("close_range", first, last, flags)


def close_from(first: int, keep: Iterable[int] = ()) -> None:
    """Close every fd from `first` on but those in `keep`."""
    for fd in sorted(fd for fd in keep if fd >= first):
        if fd > first:
            close_range(first, fd - 1)
        first = fd + 1
    close_range(first)


def open_fds() -> list[int]:
    """The open fds of this process."""
    return [fd for fd in map(int, os.listdir("/proc/self/fd")) if _is_open(fd)]


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False  # that of the listing itself
    return True


def memfd(name: str, content: bytes) -> int:
    """An anonymous file holding `content`, positioned at its start (memfd_create(2))."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    write_all(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def write_all(fd: int, data: bytes) -> None:
    """write(2) until all is written: on a disk that fills up the kernel takes a part first and refuses the next."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


__all__ = [
    "MAX_FDS", "accept", "close_from", "close_range", "memfd", "open_fds", "recv_fds", "send_fds", "socket",
    "write_all",
]  # fmt: skip
