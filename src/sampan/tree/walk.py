"""Walk a tree in a fixed order, by fd."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from msgspec import Struct

from .directories import Directories
from .extract import Usage


class Node(Struct, frozen=True):
    """One name in a tree: `directory` is an open fd of its parent, valid until the next node is asked for."""

    path: str
    directory: int
    name: str
    stat: os.stat_result

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.stat.st_mode)


def listing(directories: Directories, path: str) -> list[str]:
    """The names in a directory, sorted."""
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directories.open(path))
    try:
        return sorted(os.listdir(fd))
    finally:
        os.close(fd)


def walk(directories: Directories, path: str = "", enter: Callable[[Node], bool] = lambda node: True) -> Iterator[Node]:
    """All nodes below `path`, parents before children, sorted in each directory; what vanishes meanwhile is left out.

    Links are never followed. A directory for which `enter` is false is given but not entered.
    """
    pending = [(path, iter(listing(directories, path)))]
    while pending:
        above, names = pending[-1]
        name = next(names, None)
        if name is None:
            pending.pop()
            continue
        below = f"{above}/{name}" if above else name
        try:
            parent = directories.open(above)
            node = Node(below, parent, name, os.stat(name, dir_fd=parent, follow_symlinks=False))
            yield node
            if node.is_directory and enter(node):
                pending.append((below, iter(listing(directories, below))))
        except (FileNotFoundError, NotADirectoryError):
            continue


def usage(root: str) -> Usage:
    """What lies below a directory: the sizes of its files, each inode once."""
    total, inodes = 0, 0
    seen: set[tuple[int, int]] = set()
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with Directories(fd) as directories:
            for node in walk(directories):
                if node.stat.st_nlink > 1 and not node.is_directory:
                    identity = (node.stat.st_dev, node.stat.st_ino)
                    if identity in seen:
                        continue
                    seen.add(identity)
                inodes += 1
                total += node.stat.st_size if stat.S_ISREG(node.stat.st_mode) else 0
    finally:
        os.close(fd)
    return Usage(total, inodes)
