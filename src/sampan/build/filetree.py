"""A build context in memory: names and metadata as a table, contents in packs. No file is made for any of it.

A build whose steps are cached needs digests only; one that copies writes each file once, into the layer.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import stat
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from ..errors import DataLoss
from ..tree.entry import BLOCK, CHARACTER, DIRECTORY, FIFO, HARDLINK, REGULAR, SYMLINK, ArchiveError, Entry, Limits
from ..tree.extract import clean
from ..tree.reader import Readable, TarReader, write_all
from .sources import CHUNK, SMALL, SourceFile

_KINDS = {
    REGULAR: stat.S_IFREG, DIRECTORY: stat.S_IFDIR, SYMLINK: stat.S_IFLNK, CHARACTER: stat.S_IFCHR,
    BLOCK: stat.S_IFBLK, FIFO: stat.S_IFIFO,
}  # fmt: skip
LINK_MODE = stat.S_IFLNK | 0o777
_MAX_LINKS = 40  # path_resolution(7)


class DamagedContext(DataLoss):
    """Contents that were kept are not what their digest says."""


class Pack:
    """A file that holds the contents of many, one after another. Owns its fd; `trusted`: its bytes were just hashed."""

    def __init__(self, fd: int, *, trusted: bool = True) -> None:
        self.trusted = trusted
        self._fd = fd
        self._ahead = (0, b"")

    def read(self, offset: int, size: int) -> bytes:
        """Some bytes from `offset`, at most `size` (up to 1 MiB); neighbours are read ahead together."""
        start, data = self._ahead
        if not start <= offset < start + len(data):
            start, data = self._ahead = offset, os.pread(self._fd, CHUNK, offset)
        return data[offset - start : offset - start + size]

    def append(self, data: bytes) -> None:
        """Write at the end."""
        write_all(self._fd, data)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)
        self._fd = -1


@dataclass(slots=True)
class Inode:
    """`extents` lists (offset, length) of what is stored of a file with holes; `sha256` is of the whole file."""

    mode: int
    size: int = 0
    mtime_ns: int = 0
    link: str = ""
    rdev: int = 0
    xattrs: dict[str, bytes] = field(default_factory=dict)
    sha256: str = ""
    pack: Pack | None = None
    offset: int = 0
    extents: list[tuple[int, int]] | None = None
    names: int = 0

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    def stored(self) -> Iterator[tuple[int, bytes]]:
        """(position in the file, bytes) of what is not a hole."""
        at = self.offset
        for position, length in [(0, self.size)] if self.extents is None else self.extents:
            while length:
                data = self.pack.read(at, length) if self.pack is not None else b""
                if not data:
                    raise DamagedContext("the stored build context is damaged, build again")
                yield position, data
                at, position, length = at + len(data), position + len(data), length - len(data)


class HeldFile:
    """One name of an inode. Files of a context belong to root in the image (Dockerfile reference, COPY)."""

    __slots__ = ("inode", "mode", "mtime_ns", "path")
    uid = gid = 0

    def __init__(self, path: str, inode: Inode) -> None:
        self.path = path
        self.mode = inode.mode
        self.mtime_ns = inode.mtime_ns
        self.inode = inode

    @property
    def rdev(self) -> int:
        return self.inode.rdev

    @property
    def size(self) -> int:
        return self.inode.size

    @property
    def has_holes(self) -> bool:
        return self.inode.extents is not None

    @property
    def identity(self) -> Hashable | None:
        return id(self.inode) if self.inode.names > 1 else None

    def link(self) -> str:
        return self.inode.link

    def xattrs(self) -> dict[str, bytes]:
        return self.inode.xattrs

    def digest(self) -> str:
        return self.inode.sha256

    def head(self, size: int) -> bytes:
        return next(self.chunks(), b"")[:size]

    def chunks(self) -> Iterator[bytes]:
        data = self._small()
        return self._checked(_with_holes(self.inode)) if data is None else iter((data,) if data else ())

    def _small(self) -> bytes | None:
        """The contents in one piece, for most files are a few bytes; None where they take more than that."""
        inode = self.inode
        if inode.extents is not None or inode.size > SMALL or inode.pack is None:
            return None
        data = inode.pack.read(inode.offset, inode.size)
        if len(data) != inode.size:  # it lies across what was read ahead
            return None
        if not inode.pack.trusted and hashlib.sha256(data).hexdigest() != inode.sha256:
            raise self._damaged()
        return data

    def pour(self, target: int) -> None:
        inode = self.inode
        if inode.extents is None:
            for chunk in self.chunks():
                write_all(target, chunk)
            return
        os.ftruncate(target, inode.size)
        for position, data in inode.stored():
            os.lseek(target, position, os.SEEK_SET)
            write_all(target, data)

    def _checked(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """What a pack on the disk gives is compared with the digest that it was asked for by."""
        if self.inode.pack is None or self.inode.pack.trusted:
            yield from chunks
            return
        value = hashlib.sha256()
        for chunk in chunks:
            value.update(chunk)
            yield chunk
        if value.hexdigest() != self.inode.sha256:
            raise self._damaged()

    def _damaged(self) -> DamagedContext:
        return DamagedContext(f"{self.path}: the stored build context is damaged, build again")


def _with_holes(inode: Inode) -> Iterator[bytes]:
    done = 0
    for position, data in inode.stored():
        yield from _zeros(position - done)
        yield data
        done = position + len(data)
    yield from _zeros(inode.size - done)


def _zeros(size: int) -> Iterator[bytes]:
    while size > 0:
        yield bytes(min(size, CHUNK))
        size -= CHUNK


class FileTree:
    """Implements SourceTree."""

    keep_owner = False

    def __init__(self) -> None:
        self._now = time.time_ns()
        self._inodes: dict[str, Inode] = {"": self._directory()}
        self._names: dict[str, list[str]] = {"": []}

    def _directory(self) -> Inode:
        """One that nobody described."""
        return Inode(stat.S_IFDIR | 0o755, mtime_ns=self._now)

    def resolve(self, path: str) -> str:
        clean_path = posixpath.normpath(f"/{path}").strip("/") if ".." not in path else path.strip("/")
        found = self._inodes.get(clean_path)
        if found is not None and not stat.S_ISLNK(found.mode):
            return clean_path
        return self._follow(clean_path.split("/"), "", path)

    def _follow(self, parts: list[str], done: str, asked: str) -> str:
        links = 0
        parts = parts[::-1]
        while parts:
            part = parts.pop()
            if part in ("", "."):
                continue
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            here = f"{done}/{part}" if done else part
            inode = self._inodes.get(here)
            if inode is None:
                kind = errno.ENOENT if done in self._names else errno.ENOTDIR
                raise OSError(kind, os.strerror(kind), asked)
            if not stat.S_ISLNK(inode.mode):
                done = here
                continue
            links += 1
            if links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), asked)
            done = "" if inode.link.startswith("/") else done
            parts += inode.link.split("/")[::-1]
        return done

    def file(self, path: str) -> SourceFile:
        return HeldFile(path, self._inodes[path])

    def names(self, path: str) -> list[str]:
        found = self._names.get(self.resolve(path))
        if found is None:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return sorted(found)

    def below(self, path: str) -> Iterator[SourceFile]:
        pending = [f"{path}/{name}" if path else name for name in sorted(self._names[path], reverse=True)]
        while pending:
            here = pending.pop()
            yield HeldFile(here, self._inodes[here])
            names = self._names.get(here)
            if names:
                pending += [f"{here}/{name}" for name in sorted(names, reverse=True)]

    def drop(self, path: str) -> None:
        if path in self._inodes:
            self._remove(path)

    def get(self, path: str) -> Inode | None:
        """The inode at a path that has no links in it."""
        return self._inodes.get(path)

    def add(self, name: str, inode: Inode) -> None:
        """Put an inode at a name as a member of an archive: `..` may not lead out, parents are made, the last wins."""
        path = clean(name)
        if not path:
            if not inode.is_directory:
                raise ArchiveError(f"archive entry {name!r} would replace the root")
            return
        parent, _, last = path.rpartition("/")
        if parent not in self._names:
            parent = self._parent(parent)
            path = f"{parent}/{last}" if parent else last
        before = self._inodes.get(path)
        if before is not None:
            if before.is_directory and inode.is_directory:
                self._inodes[path] = inode
                return
            self._remove(path)
        self.insert(parent, last, path, inode)

    def insert(self, parent: str, last: str, path: str, inode: Inode) -> None:
        """Put an inode at a path that is not there yet, by its name in a directory that is."""
        inode.names += 1
        self._inodes[path] = inode
        self._names[parent].append(last)
        if inode.is_directory:
            self._names[path] = []

    def _parent(self, path: str) -> str:
        """The directory at a path, links followed; what is missing of it is made, what is none gives way."""
        done = ""
        for part in path.split("/"):
            here = f"{done}/{part}" if done else part
            try:
                real = self._follow([part], done, here)
            except OSError:  # not there, or a link to nothing
                real = here
            if real not in self._names:
                if here in self._inodes:
                    self._remove(here)
                real = here
                self.insert(done, part, here, self._directory())
            done = real
        return done

    def _remove(self, path: str) -> None:
        for file in list(self.below(path)) if path in self._names else []:
            self._inodes.pop(file.path).names -= 1
            self._names.pop(file.path, None)
        self._inodes.pop(path).names -= 1
        self._names.pop(path, None)
        parent, _, last = path.rpartition("/")
        self._names[parent].remove(last)


def read_archive(stream: Readable, pack: Pack, limits: Limits | None = None) -> FileTree:
    """The tree of a tar stream, contents into a pack. Hostile names end where extraction would put them (S15)."""
    return _Reading(TarReader(stream, limits), pack).run()


class _Reading:
    def __init__(self, reader: TarReader, pack: Pack) -> None:
        self._reader = reader
        self._pack = pack
        self._tree = FileTree()
        self._position = 0
        self._pending: list[bytes] = []
        self._waiting = 0
        self._sparse: list[Inode] = []

    def run(self) -> FileTree:
        for entry in self._reader:
            kind = _KINDS.get(entry.type)
            if kind is not None:
                self._tree.add(entry.name, self._inode(entry, kind))
            elif entry.type == HARDLINK:
                self._hardlink(entry)
            else:
                raise ArchiveError(f"unhandled tar header type {entry.type!r} of {entry.name!r}")
        self._flush()
        for inode in self._sparse:
            inode.sha256 = whole_digest(inode)
        return self._tree

    def _inode(self, entry: Entry, kind: int) -> Inode:
        if entry.type == SYMLINK and not entry.link:
            raise ArchiveError(f"archive entry {entry.name!r} is a link to nothing")
        inode = Inode(kind | entry.mode, entry.size, entry.mtime, xattrs=entry.xattrs)
        if entry.type == SYMLINK:
            inode.link, inode.mode = entry.link, LINK_MODE
        elif entry.type == REGULAR:
            self._store(entry, inode)
        elif entry.type in (CHARACTER, BLOCK):
            inode.rdev = os.makedev(entry.major, entry.minor)
        return inode

    def _store(self, entry: Entry, inode: Inode) -> None:
        inode.pack, inode.offset, inode.extents = self._pack, self._position, entry.sparse
        value = hashlib.sha256()
        for chunk in self._reader.chunks():
            value.update(chunk)
            self._pending.append(bytes(chunk))
            self._waiting += len(chunk)
            self._position += len(chunk)
            if self._waiting >= CHUNK:
                self._flush()
        if inode.extents is None:
            inode.sha256 = value.hexdigest()
        else:
            self._sparse.append(inode)

    def _flush(self) -> None:
        self._pack.append(b"".join(self._pending))
        self._pending, self._waiting = [], 0

    def _hardlink(self, entry: Entry) -> None:
        parent, _, last = clean(entry.link).rpartition("/")
        try:
            parent = self._tree.resolve(parent)
        except OSError:
            parent = "\0"
        inode = self._tree.get(f"{parent}/{last}" if parent else last)
        if inode is None or inode.is_directory:
            raise ArchiveError(f"hard link to {entry.link!r}, which does not exist")
        if clean(entry.link) != clean(entry.name):
            self._tree.add(entry.name, inode)


def whole_digest(inode: Inode) -> str:
    """sha256 of a file whose contents are in its pack, holes included."""
    value = hashlib.sha256()
    for chunk in _with_holes(inode):
        value.update(chunk)
    return value.hexdigest()
