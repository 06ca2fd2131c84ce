"""From log files back to entries, without I/O."""

from __future__ import annotations

import os
from datetime import datetime
from typing import NamedTuple, Protocol

import msgspec
from msgspec import Struct

from . import localfile

_STREAMS = {"stdout": 1, "stderr": 2}
_BLOCK = 1 << 16
MAX_RECORD = 1 << 20
"""A record of the local format above this size is no record."""


class Entry(NamedTuple):
    """One message; `data` ends with a newline unless it is a piece of a longer line."""

    timestamp_ns: int
    stream: int
    data: bytes
    attrs: dict[str, str] | None = None


class Decoder(Protocol):
    """Fed with a file's bytes in order; what is torn or no record is skipped."""

    def feed(self, data: bytes) -> list[Entry]: ...


class _Line(Struct):
    log: str = ""
    stream: str = "stdout"
    time: str = ""
    attrs: dict[str, str] | None = None


_decode_line = msgspec.json.Decoder(_Line).decode
_second = ("", 0)


def parse_time(text: str) -> int:
    """Nanoseconds of an RFC 3339 time in UTC; ValueError where it is none."""
    global _second
    whole, fraction = text[:19], text[20:].removesuffix("Z")
    if _second[0] != whole:
        _second = (whole, int(datetime.fromisoformat(f"{whole}+00:00").timestamp()))
    return _second[1] * 1_000_000_000 + int(fraction.ljust(9, "0")[:9])


class JsonDecoder:
    """json-file: one object a line."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Entry]:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        entries = []
        for line in lines:
            try:
                found = _decode_line(line)
                entries.append(
                    Entry(parse_time(found.time), _STREAMS.get(found.stream, 1), found.log.encode(), found.attrs)
                )
            except (msgspec.DecodeError, ValueError):
                continue  # torn by a crash
        return entries


class LocalDecoder:
    """local: records framed by their size on both sides."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Entry]:
        data = self._rest + data
        position = 0
        entries = []
        while len(data) - position >= 8:
            size = int.from_bytes(data[position : position + 4], "big")
            if size > MAX_RECORD:
                position = len(data)  # not a log: there is no way to find the next record
                break
            if len(data) - position < size + 8:
                break
            try:
                record = localfile.decode(data[position + 4 : position + 4 + size])
                newline = b"" if record.partial and not record.last else b"\n"
                entries.append(Entry(record.timestamp_ns, record.stream, record.line + newline))
            except ValueError:
                pass  # torn by a crash
            position += size + 8
        self._rest = data[position:]
        return entries


def json_tail(fd: int, count: int) -> tuple[int, int]:
    """Where the last `count` records of a file begin → (offset, how many there are from there)."""
    position = os.fstat(fd).st_size
    found = -1  # the last record's own newline does not begin one
    while position > 0:
        start = max(0, position - _BLOCK)
        block = os.pread(fd, position - start, start)
        lines = block.count(b"\n")
        if found + lines >= count:
            end = len(block)
            while found < count:
                end = block.rindex(b"\n", 0, end)
                found += 1
            return start + end + 1, count
        found += lines
        position = start
    return 0, found + 1


def local_tail(fd: int, count: int) -> tuple[int, int]:
    """As `json_tail`, for the local format."""
    position = os.fstat(fd).st_size
    found = 0
    while position >= 8 and found < count:
        size = int.from_bytes(os.pread(fd, 4, position - 4), "big")
        if size + 8 > position:
            return 0, found  # a torn end: read the file from its start instead
        position -= size + 8
        found += 1
    return position, found
