"""Docker's multiplexed stream: frames of `stream, 0, 0, 0, size:u32be, payload` (Engine API, ContainerAttach)."""

from __future__ import annotations

STDOUT = 1
_HEADER = 8


def frame(stream: int, data: bytes) -> bytes:
    """One frame."""
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


def is_multiplexed(status: int, kind: str) -> bool:
    """Whether an answer with this content type has frames; an old daemon does not say so (API below 1.42)."""
    return "multiplexed" in kind or (status == 200 and "raw-stream" not in kind)


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

    def payload(self, data: bytes) -> bytes:
        """As `feed`, the streams joined."""
        return b"".join(payload for _, payload in self.feed(data))

    def _take_header(self, data: bytes, position: int) -> int:
        part = data[position : position + _HEADER - len(self._header)]
        self._header += part
        if len(self._header) == _HEADER:
            self._stream = self._header[0]
            self._left = int.from_bytes(self._header[4:], "big")
            self._header = b""
        return len(part)
