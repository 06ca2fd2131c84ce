"""The format of Docker's `local` driver: `size: u32be` + LogEntry (protobuf) + `size: u32be`.

LogEntry (moby api/types/plugins/logdriver/entry.proto): 1 source, 2 time_nano, 3 line (without newline), 4 partial,
5 partial_log_metadata {1 last, 2 id, 3 ordinal}.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from . import lines
from .lines import LineSplitter, Partial, Segment
from .rotation import RotatingFile

_SMALL = [bytes((size,)) for size in range(0x80)]
_SOURCES = {1: b"\x0a\x06stdout", 2: b"\x0a\x06stderr"}


class Record:
    """One decoded LogEntry."""

    __slots__ = ("last", "line", "partial", "stream", "timestamp_ns")

    def __init__(self, stream: int, timestamp_ns: int, line: bytes, partial: bool, last: bool) -> None:
        self.stream, self.timestamp_ns, self.line, self.partial, self.last = stream, timestamp_ns, line, partial, last


class LocalWriter:
    """Writes `path`."""

    full = False

    def __init__(self, path: str, limit: int, count: int, *, compress: bool) -> None:
        self._file = RotatingFile(path, limit, count, compress=compress)
        self._splitters = {stream: LineSplitter() for stream in _SOURCES}

    @property
    def pending(self) -> bool:
        """Whether a line has begun."""
        return any(splitter.pending for splitter in self._splitters.values())

    def write(self, stream: int, data: bytes, timestamp_ns: int) -> None:
        records: list[bytes] = []
        for segment in self._splitters[stream].feed(data, timestamp_ns):
            records += encode(stream, segment)
        if records:
            self._append(records)

    def end(self, stream: int, timestamp_ns: int) -> None:
        rest = self._splitters[stream].end(timestamp_ns)
        if rest is not None:
            self._append(encode(stream, rest))

    def _append(self, records: list[bytes]) -> None:
        ends = list(accumulate(map(len, records)))
        self._file.write(b"".join(records), lambda position: ends[bisect_left(ends, position)])

    def close(self) -> None:
        self._file.close()


def encode(stream: int, segment: Segment) -> list[bytes]:
    """The records of a segment."""
    head = _SOURCES[stream] + b"\x10" + varint(segment.timestamp)
    tail = _partial(segment.partial) if segment.partial is not None else b""
    records = []
    for line in lines.messages(segment):
        # proto3 leaves an empty field out; a size below 128 is its own varint
        field = b"\x1a" + (_SMALL[len(line)] if len(line) < 0x80 else varint(len(line))) + line if line else b""
        entry = head + field + tail
        length = len(entry).to_bytes(4, "big")
        records.append(length + entry + length)
    return records


def _partial(partial: Partial) -> bytes:
    identity = partial.id.encode()
    inner = (b"\x08\x01" if partial.last else b"") + b"\x12" + varint(len(identity)) + identity
    inner += b"\x18" + varint(partial.ordinal)
    return b"\x20\x01\x2a" + varint(len(inner)) + inner


def varint(value: int) -> bytes:
    """A protobuf base-128 number; negative ones as 64-bit two's complement."""
    value &= (1 << 64) - 1
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def decode(entry: bytes) -> Record:
    """One LogEntry; ValueError where it is torn. Unknown fields are skipped."""
    fields = _fields(entry)
    meta = _fields(bytes(fields[5])) if isinstance(fields.get(5), bytes) else {}
    line, timestamp = fields.get(3, b""), fields.get(2, 0)
    if not isinstance(line, bytes) or not isinstance(timestamp, int):
        raise ValueError("log entry has fields of a wrong type")
    return Record(2 if fields.get(1) == b"stderr" else 1, timestamp, line, bool(fields.get(4)), bool(meta.get(1)))


def _fields(data: bytes) -> dict[int, int | bytes]:
    found: dict[int, int | bytes] = {}
    position = 0
    while position < len(data):
        key, position = _read_varint(data, position)
        value, position = _read_varint(data, position)
        if key & 7 == 2:
            if position + value > len(data):
                raise ValueError("log entry is torn")
            found[key >> 3] = data[position : position + value]
            position += value
        elif key & 7 == 0:
            found[key >> 3] = value
        else:
            raise ValueError(f"log entry has wire type {key & 7}")
    return found


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ValueError("log entry is torn")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
