"""File trees that a build reads: what copies select, what keys count, whatever holds the files.

SourceTree ── DiskTree   a directory: a stage's mounted tree, a checkout
           └─ FileTree   a context as it came from a client: names in memory, contents in packs (filetree.py)
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Protocol

from ..errors import InvalidArgument
from ..linux.openat2 import open_in_root
from ..tree.copy import copy_contents
from ..tree.directories import Directories
from ..tree.metadata import read_xattrs
from ..tree.reader import write_all
from ..tree.walk import Node, listing, walk

MAX_DOCKERFILE = 16 << 20
CHUNK = 1 << 20
SMALL = 1 << 18
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class SourceFile(Protocol):
    """One name in a tree; `mode` with its kind, as stat(2) gives it; times in ns."""

    @property
    def path(self) -> str: ...
    @property
    def mode(self) -> int: ...
    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...
    @property
    def rdev(self) -> int: ...
    @property
    def mtime_ns(self) -> int: ...
    @property
    def size(self) -> int:
        """Bytes of a regular file, holes included."""

    @property
    def has_holes(self) -> bool:
        """Whether less is stored of a regular file than its size says."""

    @property
    def identity(self) -> Hashable | None:
        """Equal for all names of one inode; None where it has but one."""

    def link(self) -> str:
        """The target of a symbolic link."""
        ...

    def xattrs(self) -> dict[str, bytes]:
        """The extended attributes that travel."""
        ...

    def digest(self) -> str:
        """sha256 of a regular file's contents, in hex."""
        ...

    def head(self, size: int) -> bytes:
        """The first bytes of a regular file."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """The contents of a regular file."""
        ...

    def pour(self, target: int) -> None:
        """Write the contents of a regular file into an empty one; holes stay holes."""
        ...


class SourceTree(Protocol):
    """Paths are relative to the root, '' for the root itself."""

    @property
    def keep_owner(self) -> bool:
        """Whether owners mean something: those of a context do not."""

    def resolve(self, path: str) -> str:
        """Where a path really is, links followed inside the tree. FileNotFoundError, NotADirectoryError."""
        ...

    def file(self, path: str) -> SourceFile:
        """The entry at a resolved path."""
        ...

    def names(self, path: str) -> list[str]:
        """The sorted names in a directory. FileNotFoundError, NotADirectoryError."""
        ...

    def below(self, path: str) -> Iterator[SourceFile]:
        """Everything below a directory, parents first, sorted; each is valid until the next is asked for."""
        ...

    def drop(self, path: str) -> None:
        """Forget a file; nothing there is fine."""
        ...


class DiskFile:
    """A name in a directory that is open."""

    __slots__ = ("_found", "_node", "path")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._found = node.stat
        self.path = node.path

    @property
    def mode(self) -> int:
        return self._found.st_mode

    @property
    def uid(self) -> int:
        return self._found.st_uid

    @property
    def gid(self) -> int:
        return self._found.st_gid

    @property
    def rdev(self) -> int:
        return self._found.st_rdev

    @property
    def mtime_ns(self) -> int:
        return self._found.st_mtime_ns

    @property
    def size(self) -> int:
        return self._found.st_size

    @property
    def has_holes(self) -> bool:
        return self._found.st_blocks * 512 < self._found.st_size

    @property
    def identity(self) -> Hashable | None:
        several = self._found.st_nlink > 1 and not self._node.is_directory
        return (self._found.st_dev, self._found.st_ino) if several else None

    def link(self) -> str:
        return os.readlink(self._node.name, dir_fd=self._node.directory)

    def xattrs(self) -> dict[str, bytes]:
        if stat.S_ISLNK(self._found.st_mode):
            return {}
        return read_xattrs(f"/proc/self/fd/{self._node.directory}/{self._node.name}")

    @contextmanager
    def _open(self) -> Iterator[int]:
        fd = os.open(self._node.name, _READ, dir_fd=self._node.directory)
        try:
            yield fd
        finally:
            os.close(fd)

    def digest(self) -> str:
        value = hashlib.sha256()
        for chunk in self.chunks():
            value.update(chunk)
        return value.hexdigest()

    def head(self, size: int) -> bytes:
        with self._open() as fd:
            return os.read(fd, size)

    def chunks(self) -> Iterator[bytes]:
        with self._open() as fd:
            while chunk := os.read(fd, CHUNK):
                yield chunk

    def pour(self, target: int) -> None:
        if self._found.st_size > SMALL:
            with self._open() as fd:
                copy_contents(fd, target)
            return
        for chunk in self.chunks():
            write_all(target, chunk)


class DiskTree:
    """A directory, by fd; use it as a context manager."""

    def __init__(self, path: str, *, keep_owner: bool) -> None:
        self.keep_owner = keep_owner
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._directories = Directories(self._root)

    def __enter__(self) -> DiskTree:
        return self

    def __exit__(self, *_: object) -> None:
        self._directories.forget()
        os.close(self._root)

    def resolve(self, path: str) -> str:
        fd = open_in_root(self._root, path or ".", os.O_PATH)
        try:
            real = os.readlink(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        base = os.readlink(f"/proc/self/fd/{self._root}")
        return real.removeprefix(base.rstrip("/")).lstrip("/") if base != "/" else real.lstrip("/")

    def file(self, path: str) -> SourceFile:
        parent, _, name = path.rpartition("/")
        fd = self._directories.open(parent)
        return DiskFile(Node(path, fd, name or ".", os.stat(name or ".", dir_fd=fd, follow_symlinks=False)))

    def names(self, path: str) -> list[str]:
        return listing(self._directories, path)

    def below(self, path: str) -> Iterator[SourceFile]:
        return map(DiskFile, walk(self._directories, path))

    def drop(self, path: str) -> None:
        parent, _, name = path.rpartition("/")
        try:
            directory = open_in_root(self._root, parent or ".", os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            return
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            pass  # the client left it out
        finally:
            os.close(directory)


def is_directory(tree: SourceTree, path: str) -> bool:
    """Whether a resolved path is a directory."""
    return not path or stat.S_ISDIR(tree.file(path).mode)


def read_text(tree: SourceTree, path: str, limit: int = MAX_DOCKERFILE) -> str | None:
    """The text of a file, links followed inside the tree; None where there is none, InvalidArgument beyond `limit`."""
    try:
        file = tree.file(tree.resolve(path))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return None
    if not stat.S_ISREG(file.mode):
        return None
    data = b""
    for chunk in file.chunks():
        data += chunk
        if len(data) > limit:
            raise InvalidArgument(f"{path} is larger than {limit} bytes")
    return data.decode("utf-8", "surrogateescape")
