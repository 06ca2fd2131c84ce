"""Project quotas: a directory tree that may take only so many bytes, on XFS with `pquota` and ext4 with `prjquota`.

A directory's project id is inherited by what is made in it (ioctl_xfs_fsgetxattr(2)); the limit belongs to the id
(quotactl_fd(2), Linux 5.14).
"""

from __future__ import annotations

import fcntl
import os
import struct

from . import cdata
from .libc import syscall

_PROJECT = 2  # PRJQUOTA
_SET_LIMIT, _GET, _GET_STATE = 0x5804, 0x5803, 0x5805  # Q_XSETQLIM, Q_XGETQUOTA, Q_XGETQSTAT of linux/dqblk_xfs.h
_ENFORCED = 1 << 5  # FS_QUOTA_PDQ_ENFD
_HARD = 1 << 3  # FS_DQ_BHARD
_BLOCK = 512
_LIMIT = struct.Struct("=bbHI6Q56x")  # struct fs_disk_quota up to the counts
_GETXATTR, _SETXATTR = 0x801C581F, 0x401C5820  # FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR
_ATTRIBUTES = struct.Struct("=5I8x")  # struct fsxattr: flags, extent size, extents, project, CoW extent size
_INHERIT = 0x200  # FS_XFLAG_PROJINHERIT


def enforced(path: str) -> bool:
    """Whether the file system at `path` holds projects to their limits."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        state = _call(fd, _GET_STATE, 0, bytes(128))
    except OSError:  # no such call, no quotas, or not on this file system
        return False
    finally:
        os.close(fd)
    return bool(struct.unpack_from("=bxH", state)[1] & _ENFORCED)


def limit(path: str, size: int) -> None:
    """Give an empty directory a project of its own that may take `size` bytes."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        project = _free_project(fd)
        flags, extent, extents, _, cow = _attributes(fd)
        fcntl.ioctl(fd, _SETXATTR, _ATTRIBUTES.pack(flags | _INHERIT, extent, extents, project, cow))
        _set(fd, project, size)
    finally:
        os.close(fd)


def release(path: str) -> int:
    """Lift the limit of a directory's project, so that its id can be given again → the id, 0 where it had none."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags, _, _, project, _ = _attributes(fd)
        if not (flags & _INHERIT and project):
            return 0
        _set(fd, project, 0)
        return project
    finally:
        os.close(fd)


def of(path: str) -> int:
    """The limit of a directory's project in bytes; 0 for none."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _hard_limit(fd, _attributes(fd)[3])
    finally:
        os.close(fd)


def _free_project(fd: int) -> int:
    """An id without a limit; inode numbers are unique, so that all but very large file systems have the first free."""
    project = os.fstat(fd).st_ino & 0x7FFF_FFFF or 1
    while _hard_limit(fd, project):
        project += 1
    return project


def _attributes(fd: int) -> tuple[int, ...]:
    return _ATTRIBUTES.unpack(fcntl.ioctl(fd, _GETXATTR, bytes(_ATTRIBUTES.size)))


def _hard_limit(fd: int, project: int) -> int:
    try:
        found = _LIMIT.unpack(_call(fd, _GET, project, bytes(_LIMIT.size)))
    except FileNotFoundError:
        return 0  # never heard of
    return int(found[4]) * _BLOCK


def _set(fd: int, project: int, size: int) -> None:
    blocks = -(-size // _BLOCK)
    _call(fd, _SET_LIMIT, project, _LIMIT.pack(1, 2, _HARD, project, blocks, 0, 0, 0, 0, 0))


def _call(fd: int, command: int, project: int, data: bytes) -> bytes:
    buffer = cdata.buffer(data)
    syscall("quotactl_fd", fd, command << 8 | _PROJECT, project, buffer)
    return bytes(buffer.raw)
