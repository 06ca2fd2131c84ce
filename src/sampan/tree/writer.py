"""Trees to tar archives: deterministic, streaming, by fd.

The same tree gives the same bytes: sorted, no names of users, times in whole seconds (as Docker's layers have them),
access and change times left out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct, field

from . import header
from .entry import BLOCK, BLOCK_SIZE, CHARACTER, DIRECTORY, FIFO, HARDLINK, REGULAR, SYMLINK, Entry
from .metadata import read_xattrs
from .walk import Node

_CHUNK = 1 << 18
_SECOND = 1_000_000_000
END = bytes(2 * BLOCK_SIZE)
TYPES = {
    stat.S_IFREG: REGULAR, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: SYMLINK, stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK, stat.S_IFIFO: FIFO,
}  # fmt: skip
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


OwnerMap = Callable[[int, int], tuple[int, int]]


class Members(Struct):
    """Turns nodes into members; remembers inodes so that a second name becomes a hard link."""

    owner: OwnerMap | None = None
    """From the (uid, gid) of a file to the one that is written; None: as it is."""
    _names: dict[tuple[int, int], str] = field(default_factory=dict)

    def member(self, node: Node, name: str) -> Iterator[bytes]:
        """Header and contents of one node under the archive name `name`; nothing for a socket."""
        kind = TYPES.get(stat.S_IFMT(node.stat.st_mode))
        if kind is None:
            return
        entry = self._entry(node, name, kind)
        if entry.type != REGULAR:
            if kind == DIRECTORY:
                entry.xattrs = _xattrs(node)
            yield header.render(entry)
            return
        yield from _file(node, entry)

    def _entry(self, node: Node, name: str, kind: bytes) -> Entry:
        found = node.stat
        mtime = found.st_mtime_ns // _SECOND * _SECOND
        owner = self.owner(found.st_uid, found.st_gid) if self.owner else (found.st_uid, found.st_gid)
        entry = Entry(name, kind, stat.S_IMODE(found.st_mode), *owner, mtime=mtime)
        if kind == DIRECTORY:
            entry.name = name if name.endswith("/") else f"{name}/"
        elif found.st_nlink > 1:
            first = self._names.setdefault((found.st_dev, found.st_ino), name)
            if first != name:
                entry.type, entry.link = HARDLINK, first
                return entry
        if kind == SYMLINK:
            entry.link = os.readlink(node.name, dir_fd=node.directory)
        elif kind in (CHARACTER, BLOCK):
            entry.major, entry.minor = os.major(found.st_rdev), os.minor(found.st_rdev)
        return entry


def _file(node: Node, entry: Entry) -> Iterator[bytes]:
    try:
        fd = os.open(node.name, _OPEN_FILE, dir_fd=node.directory)
    except FileNotFoundError:
        return
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):  # swapped since it was listed
            return
        entry.size = found.st_size
        entry.xattrs = read_xattrs(fd)
        yield header.render(entry)
        yield from _contents(fd, entry.size)
    finally:
        os.close(fd)


def _contents(fd: int, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes and the padding: a file that shrinks meanwhile is filled with zeros."""
    left = size
    while left:
        data = os.read(fd, min(left, 1 << 20))
        if not data:
            data = bytes(min(left, 1 << 20))
        left -= len(data)
        yield data
    if size % BLOCK_SIZE:
        yield bytes(-size % BLOCK_SIZE)


def _xattrs(node: Node) -> dict[str, bytes]:
    return read_xattrs(f"/proc/self/fd/{node.directory}/{node.name}")


def whiteout(path: str) -> bytes:
    """The member that removes `path` of the layers below (OCI image-spec layer.md, "Whiteouts")."""
    parent, _, name = path.rpartition("/")
    return header.render(Entry(f"{parent}/.wh.{name}" if parent else f".wh.{name}", REGULAR, 0))


def opaque(path: str) -> bytes:
    """The member that removes all that the layers below have in the directory `path`."""
    return header.render(Entry(f"{path}/.wh..wh..opq" if path else ".wh..wh..opq", REGULAR, 0))


class Gathered:
    """Joins pieces to chunks of exactly `size` bytes, which `take` gets.

    What a compressor makes of an archive depends on how it is cut; so equal archives give equal blobs.
    """

    def __init__(self, take: Callable[[bytes], object], size: int = _CHUNK) -> None:
        self._take = take
        self._chunk = size
        self._held: list[bytes | memoryview] = []
        self._size = 0

    def write(self, piece: bytes | memoryview) -> None:
        """One more."""
        self._held.append(piece)
        self._size += len(piece)
        if self._size >= self._chunk:
            self._cut()

    def _cut(self) -> None:
        data = b"".join(self._held)
        whole = len(data) - len(data) % self._chunk
        for start in range(0, whole, self._chunk):
            self._take(data[start : start + self._chunk])
        self._held, self._size = [data[whole:]], len(data) - whole

    def flush(self) -> None:
        """Pass on what is left."""
        self._take(b"".join(self._held))
        self._held, self._size = [], 0


def gather(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces and the archive's end, joined to chunks of 256 KiB."""
    ready: list[bytes] = []
    gathered = Gathered(ready.append)
    for piece in pieces:
        gathered.write(piece)
        yield from ready
        ready.clear()
    gathered.write(END)
    gathered.flush()
    yield from ready
