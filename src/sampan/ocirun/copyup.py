"""Copying a directory's content by fd: a tmpfs that begins with what the image has there (`tmpcopyup`)."""

from __future__ import annotations

import os
import stat


def copy_tree(source: int, target: int) -> None:
    """Copy everything in the directory `source` into the directory `target`; both are open directories."""
    found = os.fstat(source)
    os.fchmod(target, stat.S_IMODE(found.st_mode))
    os.fchown(target, found.st_uid, found.st_gid)
    for name in os.listdir(source):
        _copy(source, target, name)


def _copy(source: int, target: int, name: str) -> None:
    found = os.stat(name, dir_fd=source, follow_symlinks=False)
    kind = stat.S_IFMT(found.st_mode)
    if kind == stat.S_IFDIR:
        os.mkdir(name, dir_fd=target)
        below, made = (
            os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            for fd in (source, target)
        )
        copy_tree(below, made)
        os.close(below)
        os.close(made)
    elif kind == stat.S_IFREG:
        _copy_file(source, target, name, found)
    elif kind == stat.S_IFLNK:
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
    else:
        os.mknod(name, found.st_mode, found.st_rdev, dir_fd=target)
        os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)


def _copy_file(source: int, target: int, name: str, found: os.stat_result) -> None:
    read = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    write = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
    while os.sendfile(write, read, None, 1 << 20):
        pass
    os.fchown(write, found.st_uid, found.st_gid)
    os.fchmod(write, stat.S_IMODE(found.st_mode))
    os.utime(write, ns=(found.st_atime_ns, found.st_mtime_ns))
    os.close(read)
    os.close(write)
