"""mount(2) and the file-descriptor based mount API (Linux 5.2, mount_setattr 5.12)."""

from __future__ import annotations

import os

from . import cdata
from .libc import AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE, check, libc, path, syscall

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_MANDLOCK = 64
MS_DIRSYNC = 128
MS_NOSYMFOLLOW = 256
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_REC = 16384
MS_SILENT = 1 << 15
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_I_VERSION = 1 << 23
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40

MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_SET_STRING = 1
_FSCONFIG_CMD_CREATE = 6


def mount(source: str | bytes | None, target: str | bytes, fstype: str | None, flags: int = 0,
          data: str | bytes | None = None) -> None:  # fmt: skip
    """mount(2)."""
    kind = path(fstype)
    check(libc.mount(path(source), path(target), kind, cdata.c_ulong(flags), path(data)), target)


def umount2(target: str | bytes, flags: int = 0) -> None:
    """umount2(2)."""
    check(libc.umount2(path(target), flags), target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2); both may be "." to stack the old root on the new one."""
    syscall("pivot_root", path(new_root), path(put_old), about=new_root)


def open_tree(dirfd: int, name: str, flags: int = OPEN_TREE_CLOEXEC) -> int:
    """open_tree(2): an fd of a mount, or with OPEN_TREE_CLONE of a detached copy (AT_RECURSIVE: of the whole tree)."""
    return syscall("open_tree", dirfd, path(name), flags, about=name)


def move_mount(from_fd: int, to_fd: int, to_path: str = "") -> None:
    """move_mount(2): attach the mount of `from_fd` at `to_path` below `to_fd`, or on `to_fd` itself."""
    flags = MOVE_MOUNT_F_EMPTY_PATH | (0 if to_path else MOVE_MOUNT_T_EMPTY_PATH)
    syscall("move_mount", from_fd, b"", to_fd, path(to_path), flags, about=to_path)


def fsopen(fstype: str) -> int:
    """fsopen(2): the fd of a new file-system context."""
    return syscall("fsopen", path(fstype), FSOPEN_CLOEXEC, about=fstype)


def fsconfig_string(fd: int, key: str, value: str) -> None:
    """fsconfig(2) FSCONFIG_SET_STRING: `key=value`."""
    syscall("fsconfig", fd, _FSCONFIG_SET_STRING, key.encode(), path(value), 0, about=key)


def fsconfig_flag(fd: int, key: str) -> None:
    """fsconfig(2) FSCONFIG_SET_FLAG: an option without a value."""
    syscall("fsconfig", fd, _FSCONFIG_SET_FLAG, key.encode(), None, 0, about=key)


def fsconfig_create(fd: int) -> None:
    """fsconfig(2) FSCONFIG_CMD_CREATE: make the superblock."""
    syscall("fsconfig", fd, _FSCONFIG_CMD_CREATE, None, None, 0)


def fsmount(fd: int, attributes: int = 0) -> int:
    """fsmount(2): the fd of a detached mount of the context's superblock."""
    return syscall("fsmount", fd, FSMOUNT_CLOEXEC, attributes)


class _MountAttr(cdata.Structure):
    _fields_ = (
        ("attr_set", cdata.c_uint64),
        ("attr_clr", cdata.c_uint64),
        ("propagation", cdata.c_uint64),
        ("userns_fd", cdata.c_uint64),
    )


def mount_setattr(fd: int, set_: int = 0, clear: int = 0, propagation: int = 0, userns_fd: int = 0,
                  recursive: bool = False) -> None:  # fmt: skip
    """mount_setattr(2) on the mount of `fd`: sets and clears MOUNT_ATTR_*, propagation (MS_*), maps ids."""
    if set_ & (MOUNT_ATTR_NOATIME | MOUNT_ATTR_STRICTATIME) or clear & MOUNT_ATTR__ATIME:
        clear |= MOUNT_ATTR__ATIME  # the kernel wants the whole field cleared when a part of it changes
    attributes = _MountAttr(set_, clear, propagation, userns_fd)
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    syscall("mount_setattr", fd, b"", flags, cdata.byref(attributes), cdata.sizeof(attributes))


def clone_tree(name: str, recursive: bool = True) -> int:
    """A detached copy of the mount (tree) at a path: the fd of a bind mount that is attached nowhere yet."""
    return open_tree(AT_FDCWD, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (AT_RECURSIVE if recursive else 0))
