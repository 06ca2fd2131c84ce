"""Inode flags (FS_IOC_GETFLAGS, ioctl_iflags(2)): what chattr(1) sets. A file system that has none is left alone."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

IMMUTABLE = 0x10 | 0x20  # FS_IMMUTABLE_FL | FS_APPEND_FL
TOPDIR = 0x00020000  # FS_TOPDIR_FL
_GETFLAGS, _SETFLAGS = 0x80086601, 0x40086602  # linux/fs.h, 64-bit
_UNSUPPORTED = (errno.ENOTTY, errno.EINVAL, errno.ENOTSUP, errno.EPERM)


def change_flags(fd: int, *, add: int = 0, remove: int = 0) -> None:
    """Change the flags of an open inode; `fd` may be O_PATH."""
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return
    try:
        flags = struct.unpack("l", fcntl.ioctl(own, _GETFLAGS, bytes(8)))[0]
        wanted = (flags | add) & ~remove
        if flags != wanted:
            fcntl.ioctl(own, _SETFLAGS, struct.pack("l", wanted))
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(own)


def spread_children(path: str) -> None:
    """Tell ext4 that the directories in this one have nothing to do with each other (chattr +T).

    Each gets a block group of its own. Otherwise a new layer's files go where an old one's were deleted a moment ago,
    and ext4, which does not use an inode again within a minute, looks at all of those for each file that it makes:
    2,000 files take 60 ms instead of 500 or more.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        change_flags(fd, add=TOPDIR)
    finally:
        os.close(fd)
