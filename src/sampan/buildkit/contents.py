"""Where the contents of a context's files come from: the context store, or the client."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from ..build.builder import builder_of
from ..build.filetree import Inode, Pack
from ..build.sources import CHUNK
from ..build.syncing import OpenPacks
from .listing import File
from .remembered import Remembered

if TYPE_CHECKING:
    from ..engine.engine import Engine

_EMPTY: Final = hashlib.sha256().hexdigest()


class Contents:
    """Of one transfer; they are good until `stack` ends."""

    def __init__(self, engine: Engine, remembered: Remembered, stack: AsyncExitStack) -> None:
        self._store = builder_of(engine).contexts
        self._tmp = engine.paths.tmp
        self._remembered = remembered
        self._packs = OpenPacks(self._store)
        stack.callback(self._packs.close)
        self._began = time.time_ns()
        self._stack = stack
        self._place = ""
        """The file of what arrives, until it is given away."""
        self._pack: Pack | None = None
        self._size = 0

    def recall(self, files: Sequence[File]) -> list[File]:
        """Give contents to those that have not changed since the last transfer; the others."""
        digests: dict[bytes, list[File]] = {}
        for file in files:
            if not file.size:
                file.inode.sha256 = _EMPTY
            elif (digest := self._remembered.digest(file)) is not None:
                digests.setdefault(digest, []).append(file)
        for digest, place in self._store.find(digests).items():
            inodes = [file.inode for file in digests[digest]]
            if self._packs.attach(place, inodes):
                for inode in inodes:
                    inode.sha256 = digest.hex()
        return [file for file in files if not file.inode.sha256]

    def expect(self, files: Sequence[File]) -> dict[int, Arriving]:
        """Places for files that are to come, one behind the other, by the files' numbers."""
        self._place, fd = self._create()
        self._stack.callback(self._discard)
        self._pack = self._packs.own(fd, trusted=True)
        arriving: dict[int, Arriving] = {}
        for file in files:
            file.inode.pack, file.inode.offset = self._pack, self._size
            arriving[file.number] = Arriving(file.inode, fd, file.size, self._spill)
            self._size += file.size
        return arriving

    def _create(self) -> tuple[str, int]:
        path = f"{self._tmp}/build-{token_hex(8)}"
        return path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def _spill(self) -> tuple[Pack, int]:
        """A pack for one file that is larger than it said."""
        path, fd = self._create()
        os.unlink(path)
        return self._packs.own(fd, trusted=True), fd

    def keep(self, files: Sequence[File]) -> None:
        """Make what came known to transfers to come."""
        if not self._remembered.wanted:
            return
        if self._place:
            arrived = [file.inode for file in files if file.inode.pack is self._pack]
            positions = {bytes.fromhex(inode.sha256): inode.offset for inode in arrived}
            self._store.keep(self._place, self._size, positions)
            self._place = ""
        self._remembered.learn(files, self._began)

    def _discard(self) -> None:
        if self._place:
            os.unlink(self._place)


class Arriving:
    """One file on its way: it has room for `room` bytes behind its inode's offset in `fd`."""

    def __init__(self, inode: Inode, fd: int, room: int, spill: Callable[[], tuple[Pack, int]]) -> None:
        self._inode = inode
        self._fd = fd
        self._room = room
        self._spill = spill
        self._size = 0
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """The next bytes."""
        if self._size + len(data) > self._room:
            self._move()
        _write_at(self._fd, data, self._inode.offset + self._size)
        self._digest.update(data)
        self._size += len(data)

    def _move(self) -> None:
        """It has grown since its STAT was sent: its contents get a file of their own."""
        before, start = self._fd, self._inode.offset
        self._inode.pack, self._fd = self._spill()
        self._inode.offset, self._room = 0, sys.maxsize
        for done in range(0, self._size, CHUNK):
            _write_at(self._fd, os.pread(before, min(CHUNK, self._size - done), start + done), done)

    def end(self) -> None:
        """That was all; it may be less than its STAT said."""
        self._inode.size = self._size
        self._inode.sha256 = self._digest.hexdigest()


def _write_at(fd: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written
