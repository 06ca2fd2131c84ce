"""Neighbouring DATA frames as one, before h2 sees them.

A gRPC client sends each message as a frame of its own; h2 and grpclib take 30 us for a frame, and a build context has
one message per file. Where data is cut into frames means nothing (gRPC over HTTP/2, «Data frames»; RFC 9113, 6.1): the
flow control counts payload alone, and a frame with flags, as the last one of a stream has, stays as it is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Final

_HEADER: Final = struct.Struct(">BHBBI")
"""Length in 24 bits, type, flags, stream (RFC 9113, 4.1)."""
_LARGEST: Final = 1 << 14
"""Octets of a frame: SETTINGS_MAX_FRAME_SIZE where nobody says another."""
_STREAM: Final = 0x7FFFFFFF
_Span = tuple[int, int, int]


class DataFrames:
    """Of the octets that come on one connection, from its first frame on."""

    def __init__(self) -> None:
        self._rest = b""

    def joined(self, octets: bytes) -> bytes:
        """The frames that are here as a whole, in fewer ones; ValueError for one that is too large."""
        octets, done, out = self._rest + octets, 0, bytearray()
        for stream, group in groupby(_frames(octets), itemgetter(0)):
            spans = list(group)
            start, done = spans[0][1], spans[-1][2]
            if stream:
                out += _cut(stream, b"".join([octets[at + _HEADER.size : end] for _, at, end in spans]))
            else:
                out += octets[start:done]
        self._rest = octets[done:]
        return bytes(out)


def _frames(octets: bytes) -> Iterator[_Span]:
    """(stream or 0 for what is not plain data, start, end)"""
    at = 0
    while at + _HEADER.size <= len(octets):
        high, low, kind, flags, stream = _HEADER.unpack_from(octets, at)
        length = high << 16 | low
        if length > _LARGEST:
            raise ValueError(f"a frame of {length} octets")
        end = at + _HEADER.size + length
        if end > len(octets):
            return
        yield 0 if kind or flags else stream & _STREAM, at, end
        at = end


def _cut(stream: int, data: bytes) -> bytes:
    """A stream's data as frames."""
    pieces = (data[start : start + _LARGEST] for start in range(0, len(data), _LARGEST))
    return b"".join(_HEADER.pack(0, len(piece), 0, 0, stream) + piece for piece in pieces)
