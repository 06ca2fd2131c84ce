"""Remove a tree, whatever is in it; never leave it, never cross a mount."""

from __future__ import annotations

import errno
import os

from sampan.errors import Conflict
from sampan.linux.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2

from .inodeflags import IMMUTABLE, change_flags

_READ = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_HERE = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV


def remove(directory: int, name: str) -> None:
    """Remove `name` in the open directory with all below it; a missing name is fine.

    Raises Conflict at a mount point (also a bind mount of the same file system) before anything in it is touched.
    """
    try:
        _unlink(directory, name)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        _remove_directory(directory, name)


def remove_contents(directory: int) -> None:
    """Empty an open directory (opened for reading)."""
    for name in os.listdir(directory):
        remove(directory, name)


def _unlink(directory: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except PermissionError:
        # unlink(2) of a directory is EISDIR on Linux; EPERM is an immutable file or an immutable parent
        if _is_directory(directory, name):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name) from None
        _clear_flags(directory, name)
        os.unlink(name, dir_fd=directory)


def _is_directory(directory: int, name: str) -> bool:
    return os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode & 0o170000 == 0o040000


def _remove_directory(directory: int, name: str) -> None:
    """Depth first with one open fd: the way up is `..`, checked against what was left (a tree may be any depth)."""
    current = _enter(directory, name)
    trail: list[tuple[str, tuple[int, int]]] = []
    try:
        while True:
            below = _empty_files(current)
            if below is not None:
                trail.append((below, _identity(current)))
                current = _swap(current, _enter(current, below))
            elif trail:
                done, identity = trail.pop()
                current = _swap(current, os.open("..", _READ, dir_fd=current))
                if _identity(current) != identity:
                    raise Conflict(f"{name} was changed while it was removed")
                _rmdir(current, done)
            else:
                break
    finally:
        os.close(current)
    _rmdir(directory, name)


def _empty_files(directory: int) -> str | None:
    """Unlink everything but directories; returns one directory that is left, or None."""
    below = None
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            try:
                os.rmdir(name, dir_fd=directory)
            except OSError:
                below = name
            continue
        _unlink(directory, name)
    return below


def _enter(directory: int, name: str) -> int:
    try:
        return openat2(directory, name, _READ, 0, _HERE)
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise Conflict(f"{name} is a mount point") from None
        raise


def _rmdir(directory: int, name: str) -> None:
    try:
        os.rmdir(name, dir_fd=directory)
    except PermissionError:
        _clear_flags(directory, name)
        os.rmdir(name, dir_fd=directory)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise Conflict(f"{name} is a mount point") from None
        raise


def _clear_flags(directory: int, name: str) -> None:
    """Take immutable and append-only off a node and its parent (ioctl_iflags(2))."""
    change_flags(directory, remove=IMMUTABLE)
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory)
    except OSError:  # a link, socket or device has no flags
        return
    try:
        change_flags(fd, remove=IMMUTABLE)
    finally:
        os.close(fd)


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _swap(old: int, new: int) -> int:
    os.close(old)
    return new
