"""Paths as `docker cp` means them: what a trailing slash says, what a link leads to, without leaving the tree."""

from __future__ import annotations

import os
import posixpath
import stat

from msgspec import Struct

from sampan.linux.openat2 import open_in_root

_MAX_LINKS = 255
# Go's os.FileMode bits (https://pkg.go.dev/io/fs#FileMode), which the API shows
_GO_TYPES = {
    stat.S_IFDIR: 1 << 31, stat.S_IFLNK: 1 << 27, stat.S_IFBLK: 1 << 26, stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24, stat.S_IFCHR: 1 << 26 | 1 << 21,
}  # fmt: skip
_GO_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


class Found(Struct, frozen=True):
    """A resource: `name` below the open directory `parent` (the caller closes it), shown as `base`."""

    parent: int
    name: str
    base: str
    stat: os.stat_result


def go_mode(mode: int) -> int:
    """st_mode as Go's FileMode."""
    bits = sum(go for ours, go in _GO_BITS if mode & ours)
    return _GO_TYPES.get(stat.S_IFMT(mode), 0) | bits | mode & 0o777


def find(root: int, path: str) -> Found:
    """The resource at `path`; its own last link is followed only where the path ends in `/` or `/.`.

    Raises FileNotFoundError, and NotADirectoryError where such a path names something else.
    """
    clean = posixpath.normpath("/" + path.lstrip("/"))
    contents = path == "." or path.endswith("/.")
    if clean == "/" or contents or path.endswith("/"):
        fd = open_in_root(root, clean, os.O_PATH | os.O_DIRECTORY)
        base = "." if contents else (posixpath.basename(clean) or "/")
        return Found(fd, ".", base, os.stat(fd))
    above, name = posixpath.split(clean)
    parent = open_in_root(root, above, os.O_PATH | os.O_DIRECTORY)
    try:
        return Found(parent, name, name, os.stat(name, dir_fd=parent, follow_symlinks=False))
    except BaseException:
        os.close(parent)
        raise


def resolve(root: int, path: str) -> str:
    """The absolute path in the tree that `path` means once all links are followed; what is missing stays as it is."""
    pending = [part for part in path.split("/") if part and part != "."][::-1]
    done: list[str] = []
    links = 0
    while pending:
        part = pending.pop()
        if part == "..":
            done = done[:-1]
            continue
        link = _read_link(root, [*done, part]) if links < _MAX_LINKS else None
        if link is None:
            done.append(part)
            continue
        links += 1
        if link.startswith("/"):
            done = []
        pending.extend([part for part in link.split("/") if part and part != "."][::-1])
    return "/" + "/".join(done)


def _read_link(root: int, parts: list[str]) -> str | None:
    try:
        parent = open_in_root(root, "/" + "/".join(parts[:-1]), os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        return os.readlink(parts[-1], dir_fd=parent)
    except OSError:
        return None
    finally:
        os.close(parent)
