"""Docker's multiplexed stream: frames of `stream, 0, 0, 0, size:u32be, payload` (Engine API, ContainerAttach)."""

from __future__ import annotations

STDIN, STDOUT, STDERR, SYSTEM_ERROR = 0, 1, 2, 3
FRAME_HEADER = 8


class Demultiplexer:
    """Feed it bytes as they come; it returns `(stream, payload)` pairs without waiting for a frame to be complete."""

    def __init__(self) -> None:
        self._header = b""
        self._stream = STDOUT
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        pieces: list[tuple[int, bytes]] = []
        position = 0
        while position < len(data):
            if self._left:
                payload = data[position : position + self._left]
                pieces.append((self._stream, payload))
                self._left -= len(payload)
                position += len(payload)
            else:
                position += self._take_header(data, position)
        return pieces

    def _take_header(self, data: bytes, position: int) -> int:
        part = data[position : position + FRAME_HEADER - len(self._header)]
        self._header += part
        if len(self._header) == FRAME_HEADER:
            self._stream = self._header[0]
            self._left = int.from_bytes(self._header[4:], "big")
            self._header = b""
        return len(part)
