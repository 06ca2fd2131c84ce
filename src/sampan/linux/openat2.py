"""openat2(2), Linux 5.6: opening a path that somebody else may be changing, confined to a directory."""

from __future__ import annotations

import os

from . import cdata
from .libc import path, syscall

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

O_PATH = os.O_PATH


class _OpenHow(cdata.Structure):
    _fields_ = (("flags", cdata.c_uint64), ("mode", cdata.c_uint64), ("resolve", cdata.c_uint64))


def openat2(dirfd: int, name: str | bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """The fd of a path below `dirfd`; always close-on-exec."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    while True:
        try:
            return syscall("openat2", dirfd, path(name), cdata.byref(how), cdata.sizeof(how), about=name)
        except BlockingIOError:
            continue  # EAGAIN: a rename elsewhere raced the walk (openat2(2)); the kernel asks to try again


def open_in_root(root_fd: int, name: str | bytes, flags: int = O_PATH, mode: int = 0) -> int:
    """A path as a process chrooted into `root_fd` would open it: links are followed, none leads out."""
    return openat2(root_fd, name, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def make_directories(root_fd: int, name: str, mode: int = 0o755) -> int:
    """Open a directory inside a root, making what is missing of it; the O_PATH fd of the last one.

    Existing links are followed inside the root; new parts are made by fd, one by one.
    """
    directory = os.open(".", O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root_fd)
    prefix = ""
    try:
        for part in name.split("/"):
            if part in ("", "."):
                continue
            prefix = f"{prefix}/{part}"
            opened = _step(root_fd, directory, prefix, part, mode)
            os.close(directory)
            directory = opened
    except BaseException:
        os.close(directory)
        raise
    return directory


def _step(root_fd: int, directory: int, prefix: str, part: str, mode: int) -> int:
    try:
        return open_in_root(root_fd, prefix, O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        if part == "..":
            raise
        _make(directory, part, mode)
    return open_in_root(root_fd, prefix, O_PATH | os.O_DIRECTORY)


def _make(directory: int, part: str, mode: int) -> None:
    # A dangling link at this name is an error: what it names is not ours to make.
    try:
        os.mkdir(part, mode, dir_fd=directory)
    except FileExistsError:
        pass  # another start on the same volume made it first


def make_file(root_fd: int, name: str, mode: int = 0o644) -> int:
    """The O_PATH fd of a path inside a root for a file to be mounted on; an empty file is made where it is missing."""
    try:
        return open_in_root(root_fd, name)
    except FileNotFoundError:
        pass
    parent, _, last = name.rstrip("/").rpartition("/")
    directory = make_directories(root_fd, parent)
    try:
        os.close(os.open(last, os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=directory))
    finally:
        os.close(directory)
    return open_in_root(root_fd, name)
