"""Many small chunks of a request's body as few large ones, before h11 reads them; no I/O.

Docker's client sends an archive 32 KiB at a time, and h11 takes 50 microseconds for each. Only chunks that are plain
are joined: the last one, and whatever else there may be, is for h11 to judge.
"""

from __future__ import annotations

import re

_SIZE = re.compile(rb"0*([1-9a-fA-F][0-9a-fA-F]{0,6})\r\n")
_LONGEST_SIZE = 16


class ChunkJoiner:
    """From a body's first octet on. `take` moves octets from a buffer to h11."""

    def __init__(self) -> None:
        self._left = 0  # of the present chunk
        self._within = False  # its last CRLF has not come
        self._passing = False  # all the rest is h11's

    def take(self, buffer: bytearray) -> bytes:
        """What h11 is to get of the buffer, which loses it; nothing where the buffer ends before something is whole."""
        pieces: list[bytes] = []
        position = 0
        while not self._passing and position < len(buffer):
            after = self._payload(buffer, position, pieces) if self._within else self._size(buffer, position)
            if after == position:
                break
            position = after
        joined = b"".join(pieces)
        if self._passing:
            pieces = [b"%x\r\n" % len(joined), joined, b"\r\n"] if joined else []
            pieces.append(bytes(buffer[position:]))
            buffer.clear()
            return b"".join(pieces)
        del buffer[:position]
        return b"%x\r\n%b\r\n" % (len(joined), joined) if joined else b""

    def _size(self, buffer: bytearray, position: int) -> int:
        found = _SIZE.match(buffer, position)
        if found is not None:
            self._left, self._within = int(found[1], 16), True
            return found.end()
        self._passing = len(buffer) - position >= _LONGEST_SIZE or b"\n" in buffer[position:]
        return position

    def _payload(self, buffer: bytearray, position: int, pieces: list[bytes]) -> int:
        if self._left:
            piece = bytes(buffer[position : position + self._left])
            pieces.append(piece)
            self._left -= len(piece)
            return position + len(piece)
        end = buffer[position : position + 2]
        if len(end) < 2:
            return position
        self._within, self._passing = False, end != b"\r\n"
        return position + 2 * (not self._passing)
