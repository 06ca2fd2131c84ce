"""Cutting output into log messages as Docker's copier does (moby daemon/logger/copier.go).

A message is a line. A line of 16 KiB or more is cut into pieces of 16 KiB, which carry the time of the first; what is
left without a newline at the end of the stream is a piece too.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 16 * 1024


class Partial:
    """Which piece of a long line this is; `ordinal` counts from 1."""

    __slots__ = ("id", "last", "ordinal")

    def __init__(self, id: str, ordinal: int, last: bool) -> None:
        self.id, self.ordinal, self.last = id, ordinal, last


class Segment:
    """Whole lines, each with its newline, or one piece of a long line (with a newline if it is the last one)."""

    __slots__ = ("data", "partial", "timestamp")

    def __init__(self, data: bytes, timestamp: int, partial: Partial | None) -> None:
        self.data, self.timestamp, self.partial = data, timestamp, partial


class LineSplitter:
    """The messages of one stream."""

    __slots__ = ("_id", "_ordinal", "_rest", "_timestamp")

    def __init__(self) -> None:
        self._rest = b""
        self._id = ""
        self._ordinal = 0
        self._timestamp = 0

    @property
    def pending(self) -> bool:
        return bool(self._rest or self._id)

    def feed(self, data: bytes, timestamp: int) -> Iterator[Segment]:
        """The segments that `data` completes; many lines are one segment, for speed."""
        if self._rest:
            data = self._rest + data
        start = position = 0
        if self._id:
            end = data.find(b"\n", 0, PIECE)
            if end >= 0:
                yield self._finish_line(data[: end + 1])
                start = position = end + 1
        size = len(data)
        while size - position >= PIECE:
            end = data.rfind(b"\n", position, position + PIECE)
            if end >= 0:
                position = end + 1
                continue
            if position > start:
                yield Segment(data[start:position], timestamp, None)
            yield self._piece(data[position : position + PIECE], timestamp)
            start = position = position + PIECE
            end = data.find(b"\n", position, position + PIECE)
            if end >= 0:
                yield self._finish_line(data[position : end + 1])
                start = position = end + 1
        end = data.rfind(b"\n", position)
        end = end + 1 if end >= 0 else position
        if end > start:
            yield Segment(data[start:end], timestamp, None)
        self._rest = data[end:]

    def end(self, timestamp: int) -> Segment | None:
        """What is left at the end of the stream."""
        rest, self._rest = self._rest, b""
        return self._piece(rest, timestamp) if rest else None

    def _piece(self, data: bytes, timestamp: int) -> Segment:
        if not self._id:
            self._id, self._ordinal, self._timestamp = os.urandom(32).hex(), 0, timestamp
        self._ordinal += 1
        return Segment(data, self._timestamp, Partial(self._id, self._ordinal, last=False))

    def _finish_line(self, data: bytes) -> Segment:
        segment = Segment(data, self._timestamp, Partial(self._id, self._ordinal + 1, last=True))
        self._id = ""
        return segment


def messages(segment: Segment) -> list[bytes]:
    """The messages of a segment, without their newlines."""
    if segment.partial is not None:
        return [segment.data.removesuffix(b"\n")]
    return segment.data[:-1].split(b"\n")
