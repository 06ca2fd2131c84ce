"""Copy a tree with everything that belongs to it: owners, modes, times, links, devices, attributes, holes."""

from __future__ import annotations

import errno
import os
import stat

from .directories import Directories
from .metadata import apply_node, read_xattrs, write_xattrs
from .walk import Node, walk

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def copy_tree(source: int, target: int) -> None:
    """Copy all below the directory fd `source` into the empty directory fd `target`, whose own metadata follows too.

    Shares blocks where the file system can (FICLONE through copy_file_range(2)).
    """
    linked: dict[tuple[int, int], str] = {}
    times: list[tuple[str, int]] = []
    with Directories(source) as sources, Directories(target) as targets:
        for node in walk(sources):
            _copy_node(node, targets, linked)
            if node.is_directory:
                times.append((node.path, node.stat.st_mtime_ns))
        for path, mtime in reversed(times):
            parent, _, name = path.rpartition("/")
            os.utime(name, ns=(mtime, mtime), dir_fd=targets.open(parent), follow_symlinks=False)
    copy_directory_metadata(source, target)


def copy_directory_metadata(source: int, target: int) -> None:
    """Owner, mode, attributes and time of one directory fd onto another."""
    found = os.fstat(source)
    path = f"/proc/self/fd/{target}"  # either may be O_PATH
    os.chown(path, found.st_uid, found.st_gid)
    os.chmod(path, stat.S_IMODE(found.st_mode))
    write_xattrs(path, read_xattrs(f"/proc/self/fd/{source}/."))
    os.utime(path, ns=(found.st_mtime_ns, found.st_mtime_ns))


def _copy_node(node: Node, targets: Directories, linked: dict[tuple[int, int], str]) -> None:
    parent = targets.open(node.path.rpartition("/")[0])
    found = node.stat
    if found.st_nlink > 1 and not node.is_directory:
        first = linked.setdefault((found.st_dev, found.st_ino), node.path)
        if first != node.path:
            _link(targets, first, parent, node.name)
            return
    if stat.S_ISREG(found.st_mode):
        _copy_file(node, parent)
    elif node.is_directory:
        os.mkdir(node.name, 0o700, dir_fd=parent)
        apply_node(parent, node.name, *_metadata(node), _xattrs(node))
    elif stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(node.name, dir_fd=node.directory), node.name, dir_fd=parent)
        apply_node(parent, node.name, *_metadata(node), {})
    else:
        os.mknod(node.name, found.st_mode, found.st_rdev, dir_fd=parent)
        apply_node(parent, node.name, *_metadata(node), _xattrs(node))


def _link(targets: Directories, first: str, parent: int, name: str) -> None:
    keep = os.dup(parent)  # opening the other directory may push this one out of the cache
    try:
        above, _, source = first.rpartition("/")
        os.link(source, name, src_dir_fd=targets.open(above), dst_dir_fd=keep, follow_symlinks=False)
    finally:
        os.close(keep)


def _metadata(node: Node) -> tuple[int, int, int, int]:
    found = node.stat
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns


def _xattrs(node: Node) -> dict[str, bytes]:
    return read_xattrs(f"/proc/self/fd/{node.directory}/{node.name}")


def _copy_file(node: Node, parent: int) -> None:
    source = os.open(node.name, _READ, dir_fd=node.directory)
    try:
        target = os.open(node.name, _CREATE, 0o600, dir_fd=parent)
        try:
            copy_contents(source, target)
            mode, uid, gid, mtime = _metadata(node)
            os.fchown(target, uid, gid)
            os.fchmod(target, mode)
            write_xattrs(target, read_xattrs(source))
            os.utime(target, ns=(mtime, mtime))
        finally:
            os.close(target)
    finally:
        os.close(source)


def copy_contents(source: int, target: int) -> None:
    """The bytes of one open file into another, empty one; holes stay holes."""
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        position = os.lseek(source, start, os.SEEK_HOLE)
        _copy_range(source, target, start, position)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        try:
            copied = os.copy_file_range(source, target, end - start, start, start)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            copied = os.pwrite(target, os.pread(source, min(end - start, 1 << 20), start), start)
        if copied == 0:
            return
        start += copied
