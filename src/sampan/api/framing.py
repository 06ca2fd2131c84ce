"""The multiplexed stream of attach, exec and logs: each chunk behind 8 octets that tell its stream and its size."""

from __future__ import annotations

STDOUT = 1


def frame(stream: int, data: bytes) -> bytes:
    """One frame of the multiplexed stream."""
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


class Unframed:
    """Takes the frames off a stream that comes in any pieces; outputs arrive unmarked."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0

    def __call__(self, data: bytes) -> bytes:
        out = bytearray()
        while data:
            if not self._left:
                wanted = 8 - len(self._head)
                self._head, data = self._head + data[:wanted], data[wanted:]
                if len(self._head) < 8:
                    break
                self._left, self._head = int.from_bytes(self._head[4:], "big"), b""
            out += data[: self._left]
            taken = min(self._left, len(data))
            self._left, data = self._left - taken, data[taken:]
        return bytes(out)
