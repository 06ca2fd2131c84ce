"""A context from our own client: a manifest of names and digests first, then the contents that are not here yet.

A client that names a digest gets a tree with those contents, whether it ever had them or not. That gives nothing away:
whoever may use the API may mount any directory of this machine into a container.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import NoReturn

from msgspec import Struct

from ..cas.compression import Readable
from ..errors import DataLoss, InvalidArgument
from ..tree.entry import Limits
from ..tree.writer import Gathered
from .contextstore import ContextStore, Place
from .filetree import LINK_MODE, FileTree, Inode, Pack, whole_digest
from .sources import CHUNK

_KINDS = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LIMITS = Limits()
MAX_MANIFEST = 256 << 20
MAIN = "_"
"""The name of the context that COPY without `--from` reads."""


class Listed(Struct, array_like=True, frozen=True):
    """One name: `mode` as of stat(2), `mtime` in ns; `link` a symbolic link's target; `first`, of a further name of an
    inode, the name that comes first; `extents` (offset, length) of what a file with holes stores; xattrs in base64.
    """

    path: str
    mode: int
    mtime: int = 0
    size: int = 0
    sha256: str = ""
    link: str = ""
    first: str = ""
    extents: list[tuple[int, int]] | None = None
    xattrs: dict[str, str] = {}


class Manifest(Struct, frozen=True, rename="pascal"):
    """Parents come before their children."""

    files: list[Listed]


class OpenPacks:
    """Packs that a tree reads; each is opened once, and all are closed together."""

    def __init__(self, store: ContextStore) -> None:
        self._store = store
        self._stack = ExitStack()
        self._opened: dict[int, Pack] = {}

    def attach(self, place: Place, inodes: Iterable[Inode]) -> bool:
        """Let these have their contents there; False when the pack has gone."""
        if place.pack not in self._opened:
            try:
                self._opened[place.pack] = self.own(self._store.open(place.pack), trusted=False)
            except FileNotFoundError:
                self._store.drop(place.pack)
                return False
        for inode in inodes:
            inode.pack, inode.offset = self._opened[place.pack], place.position
        return True

    def own(self, fd: int, *, trusted: bool) -> Pack:
        """A pack of the tree's own."""
        pack = Pack(fd, trusted=trusted)
        self._stack.callback(pack.close)
        return pack

    def close(self) -> None:
        """Give them back."""
        self._stack.close()


class Incoming:
    """A context on its way: `missing` are the numbers of entries whose contents are wanted, in this order."""

    def __init__(self, store: ContextStore, manifest: Manifest) -> None:
        self._store = store
        self._packs = OpenPacks(store)
        self._inodes = _inodes(manifest.files)
        self.tree = FileTree()
        for one, inode in zip(manifest.files, self._inodes, strict=True):
            self.tree.add(one.path, inode)
        self.missing: list[int] = []

    def place(self) -> list[int]:
        """Give contents to all inodes whose contents are here; the numbers of the others."""
        wanted: dict[bytes, list[int]] = {}
        for number, inode in enumerate(self._inodes):
            if inode.sha256 and inode.pack is None:
                wanted.setdefault(_key(inode), []).append(number)
        found = self._store.find(wanted)
        for key, numbers in wanted.items():
            place = found.get(key)
            if place is None or not self._packs.attach(place, [self._inodes[number] for number in numbers]):
                self.missing.append(numbers[0])
        return self.missing

    def receive(self, stream: Readable, path: str) -> list[int]:
        """Store what was missing in a new file; numbers of what is not what the manifest says. Run it in a thread."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        pack = self._packs.own(fd, trusted=True)
        source, target = _Exactly(stream), Gathered(pack.append, CHUNK)
        changed, position = [], 0
        for number in self.missing:
            inode = self._inodes[number]
            inode.pack, inode.offset = pack, position
            value = hashlib.sha256()
            for chunk in source.chunks(_stored_size(inode)):
                value.update(chunk)
                target.write(chunk)
                position += len(chunk)
            if inode.extents is not None:
                target.flush()
            if (value.hexdigest() if inode.extents is None else whole_digest(inode)) != inode.sha256:
                changed.append(number)
        target.flush()
        return changed

    def keep(self, path: str, changed: list[int]) -> None:
        """Make what came known to builds to come."""
        arrived = [self._inodes[number] for number in self.missing if number not in changed]
        size = sum(_stored_size(self._inodes[number]) for number in self.missing)
        self._store.keep(path, size, {_key(inode): inode.offset for inode in arrived})
        if not changed:
            self._share(arrived)

    def _share(self, arrived: list[Inode]) -> None:
        """Equal contents travel once."""
        by_key = {_key(inode): inode for inode in arrived}
        for inode in self._inodes:
            if inode.sha256 and inode.pack is None:
                first = by_key[_key(inode)]
                inode.pack, inode.offset = first.pack, first.offset

    def close(self) -> None:
        """Give the packs back."""
        self._packs.close()


def _inodes(listed: list[Listed]) -> list[Inode]:
    if len(listed) > _LIMITS.entries or sum(one.size for one in listed) > _LIMITS.bytes:
        raise InvalidArgument("the build context is too large")
    by_path: dict[str, Inode] = {}
    for one in listed:
        inode = by_path.get(one.first) if one.first else _inode(one)
        if inode is None:
            _refuse(f"{one.path} is a further name of {one.first}, which is not there")
        by_path[one.path] = inode
    if len(by_path) != len(listed):
        _refuse("a name comes twice")
    return list(by_path.values())


def _refuse(why: str) -> NoReturn:
    raise InvalidArgument(f"invalid manifest: {why}")


def _inode(one: Listed) -> Inode:
    kind = stat.S_IFMT(one.mode)
    if kind not in _KINDS or one.mode >> 16 or one.size < 0 or (kind == stat.S_IFLNK) != bool(one.link):
        _refuse(f"{one.path} is no file, directory, link or fifo")
    if kind == stat.S_IFREG and not _SHA256.fullmatch(one.sha256):
        _refuse(f"{one.path} has no digest")
    _check_extents(one)
    try:
        xattrs = {name: b64decode(value, validate=True) for name, value in one.xattrs.items()}
    except NotBase64:
        _refuse(f"{one.path} has an attribute that is not base64")
    regular = kind == stat.S_IFREG
    return Inode(
        LINK_MODE if one.link else one.mode, one.size if regular else 0, one.mtime, one.link, xattrs=xattrs,
        sha256=one.sha256 if regular else "", extents=one.extents if regular else None,
    )  # fmt: skip


def _check_extents(one: Listed) -> None:
    position = 0
    for offset, length in one.extents or ():
        if offset < position or length < 0:
            _refuse(f"{one.path} has extents out of order")
        position = offset + length
    if position > one.size:
        _refuse(f"{one.path} has extents beyond its end")


def _stored_size(inode: Inode) -> int:
    return inode.size if inode.extents is None else sum(length for _, length in inode.extents)


def _key(inode: Inode) -> bytes:
    if inode.extents is None:
        return bytes.fromhex(inode.sha256)
    return hashlib.sha256(f"{inode.sha256} {inode.extents}".encode()).digest()


class _Exactly:
    """Cuts a stream into pieces of known sizes."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._data = memoryview(b"")

    def chunks(self, size: int) -> Iterator[memoryview]:
        while size:
            if not self._data:
                self._data = memoryview(self._stream.read(CHUNK))
                if not self._data:
                    raise DataLoss("the build context ended early")
            piece, self._data = self._data[:size], self._data[size:]
            size -= len(piece)
            yield piece
