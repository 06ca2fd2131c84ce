"""A streaming tar reader: one pass, flat memory, bounded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Protocol

from . import header
from .entry import BLOCK_SIZE, REGULAR, ArchiveError, Entry, Limits

_CHUNK = 1 << 20
_ZERO = bytes(BLOCK_SIZE)


class Readable(Protocol):
    """Anything that gives bytes: up to `size` per call, none at the end."""

    def read(self, size: int, /) -> bytes: ...


class TarReader:
    """Iterate to get entries; after each, `chunks()` gives its stored bytes once, what is left is skipped.

    Reads to the end of the stream, past the archive's end too, so that whoever hashes the stream has seen all of it.
    """

    def __init__(self, stream: Readable, limits: Limits | None = None) -> None:
        self._stream = stream
        self._limits = limits or Limits()
        self._buffer = b""
        self._position = 0
        self._left = 0  # stored bytes of the present entry that are not read yet
        self._padding = 0
        self._total = 0
        self._count = 0

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self._next()) is not None:
            self._count += 1
            self._total += entry.size
            if self._count > self._limits.entries:
                raise ArchiveError(f"archive has more than {self._limits.entries} entries")
            if self._total > self._limits.bytes:
                raise ArchiveError(f"archive holds more than {self._limits.bytes} bytes")
            yield entry
            self._skip()

    def chunks(self) -> Iterator[bytes | memoryview]:
        """The stored bytes of the present entry, in pieces of up to 1 MiB."""
        while self._left:
            available = len(self._buffer) - self._position
            if available == 0:
                self._fill()
                continue
            size = min(available, self._left)
            start = self._position
            self._position += size
            self._left -= size
            whole = start == 0 and size == len(self._buffer)
            yield self._buffer if whole else memoryview(self._buffer)[start : start + size]

    def pour(self, fd: int, entry: Entry) -> None:
        """Write the present entry's contents into an empty file; holes stay holes."""
        if entry.sparse is None:
            for chunk in self.chunks():
                write_all(fd, chunk)
        else:
            self._pour_sparse(fd, entry)

    def _pour_sparse(self, fd: int, entry: Entry) -> None:
        os.ftruncate(fd, entry.size)
        extents = iter(entry.sparse or ())
        left = 0
        for chunk in self.chunks():
            view = memoryview(chunk)
            while view:
                while not left:
                    offset, left = next(extents)
                    os.lseek(fd, offset, os.SEEK_SET)
                write_all(fd, view[:left])
                taken = min(left, len(view))
                view, left = view[taken:], left - taken

    def _skip(self) -> None:
        if self._left:
            for _ in self.chunks():
                pass
        self._skip_padding()

    def _skip_padding(self) -> None:
        """The docker client ends some contexts right behind the last file's bytes, as Go's archive/tar lets it."""
        self._position += self._padding
        while (lacking := self._position - len(self._buffer)) > 0:
            self._buffer = self._stream.read(_CHUNK)
            self._position = lacking if self._buffer else 0
        self._padding = 0

    def _fill(self) -> None:
        data = self._stream.read(_CHUNK)
        if not data:
            raise ArchiveError("unexpected end of archive")
        self._buffer = data if self._position >= len(self._buffer) else self._buffer[self._position :] + data
        self._position = 0

    def _take(self, size: int) -> bytes:
        start = self._position
        end = start + size
        if end > len(self._buffer):
            while len(self._buffer) - self._position < size:
                self._fill()
            start, end = 0, size
        self._position = end
        return self._buffer[start:end]

    def _block(self) -> bytes | None:
        """The next header block; None at the end of the archive: two zero blocks, or the stream's end."""
        block = self._block_or_end()
        if block != _ZERO:
            return block
        second = self._block_or_end()
        if second is not None and second != _ZERO:
            raise ArchiveError("invalid tar header: zero block inside the archive")
        return None

    def _block_or_end(self) -> bytes | None:
        if self._position >= len(self._buffer):
            self._buffer, self._position = self._stream.read(_CHUNK), 0
            if not self._buffer:
                return None
        return self._take(BLOCK_SIZE)

    def _next(self) -> Entry | None:
        records: header.Records = []
        while (block := self._block()) is not None:
            entry = header.parse(block)
            extend = _EXTENSIONS.get(entry.type)
            if extend is None:
                return self._finish(entry, block, records)
            records = extend(records, self._extension(entry.size))
        self._drain()
        if records:
            raise ArchiveError("unexpected end of archive: extended header without a member")
        return None

    def _extension(self, size: int) -> bytes:
        if size > self._limits.header_bytes:
            raise ArchiveError(f"tar header is longer than {self._limits.header_bytes} bytes")
        data = self._take(size)
        self._take(-size % BLOCK_SIZE)
        return data

    def _finish(self, entry: Entry, block: bytes, records: header.Records) -> Entry:
        if records:
            header.apply_records(entry, records)
        if "\0" in entry.name or "\0" in entry.link:
            raise ArchiveError("invalid tar header: NUL in a path")
        self._left = entry.size
        self._padding = -entry.size % BLOCK_SIZE
        if entry.type == b"S":
            self._old_sparse(entry, block)
        elif any(key.startswith("GNU.sparse.") for key, _ in records):
            self._pax_sparse(entry, records)
        if entry.type in (b"\0", b"7", b"S"):
            entry.type = REGULAR
        if entry.type == REGULAR and entry.name.endswith("/"):
            entry.type = b"5"  # a V7 tar's directory
        return entry

    def _old_sparse(self, entry: Entry, block: bytes) -> None:
        pairs = list(header.gnu_sparse_map(block, 386, 4))
        real, extended = header.number(block[483:495]), block[482]
        while extended:
            more = self._take(BLOCK_SIZE)
            pairs.extend(header.gnu_sparse_map(more, 0, 21))
            extended = more[504]
            self._bound_map(len(pairs))
        self._set_sparse(entry, pairs, real)

    def _bound_map(self, pairs: int) -> None:
        if pairs * 24 > self._limits.header_bytes:
            raise ArchiveError("tar header: sparse map is too long")

    def _pax_sparse(self, entry: Entry, records: header.Records) -> None:
        """GNU.sparse 0.0 (repeated records), 0.1 (one record) and 1.0 (a map before the data)."""
        found = {key[11:]: value for key, value in records if key.startswith("GNU.sparse.")}
        if "name" in found:
            entry.name = found["name"].decode("utf-8", "surrogateescape")
        numbers = [int_(value) for key, value in records if key in ("GNU.sparse.offset", "GNU.sparse.numbytes")]
        if found.get("major") == b"1":
            numbers = self._sparse_numbers()
        elif "map" in found:
            numbers = [int_(value) for value in found["map"].split(b",")]
        if "realsize" not in found and "size" not in found:
            return
        self._bound_map(len(numbers) // 2)
        pairs = list(zip(numbers[::2], numbers[1::2], strict=len(numbers) % 2 == 0))
        self._set_sparse(entry, pairs, int_(found.get("realsize", found.get("size", b""))))

    def _sparse_numbers(self) -> list[int]:
        """The map of format 1.0: decimal lines at the start of the data, the first one the count, in whole blocks."""
        data, used = b"", 0
        numbers: list[int] = []
        while not numbers or len(numbers) < 1 + 2 * numbers[0]:
            end = data.find(b"\n", used)
            if end >= 0:
                numbers.append(int_(data[used:end]))
                self._bound_map(numbers[0])
                used = end + 1
                continue
            if self._left < BLOCK_SIZE or len(data) - used > 32:
                raise ArchiveError("invalid tar header: sparse map")
            data, used = data[used:] + self._take(BLOCK_SIZE), 0
            self._left -= BLOCK_SIZE
        return numbers[1:]

    def _set_sparse(self, entry: Entry, pairs: list[tuple[int, int]], real: int) -> None:
        position = 0
        for offset, length in pairs:
            if offset < position or length < 0:
                raise ArchiveError("invalid tar header: sparse map")
            position = offset + length
        if position > real or sum(length for _, length in pairs) != self._left:
            raise ArchiveError("invalid tar header: sparse map")
        entry.size, entry.sparse = real, pairs

    def _drain(self) -> None:
        seen = 0
        while data := self._stream.read(_CHUNK):
            seen += len(data)
            if seen > self._limits.bytes:
                raise ArchiveError(f"archive holds more than {self._limits.bytes} bytes")
        self._buffer, self._position = b"", 0


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write it whole, however many calls that takes."""
    written = os.write(fd, data)
    if written != len(data):
        view = memoryview(data)[written:]
        while view:
            view = view[os.write(fd, view) :]


def int_(value: bytes) -> int:
    """A decimal number of a sparse map."""
    if not value.isdigit() or len(value) > 19:
        raise ArchiveError("invalid tar header: sparse map")
    return int(value)


Extend = Callable[[header.Records, bytes], header.Records]
_EXTENSIONS: dict[bytes, Extend] = {
    b"x": lambda records, data: records + header.parse_records(data),
    b"g": lambda records, data: records,  # global records: Docker ignores them too
    b"L": lambda records, data: [*records, ("path", data.rstrip(b"\0"))],
    b"K": lambda records, data: [*records, ("linkpath", data.rstrip(b"\0"))],
}
