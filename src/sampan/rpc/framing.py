"""Messages on a SOCK_SEQPACKET socket, without I/O.

A message is `length: u32be` + JSON. It is cut into packets that fit any default socket buffer (wmem_default is
208 KiB), because an OCI spec with a seccomp profile and a long environment may be larger. File descriptors ride on a
message's first packet.
"""

from __future__ import annotations

PACKET = 64 * 1024
LIMIT = 32 * 1024 * 1024
MAX_FDS = 16
_HEADER = 4


class ProtocolError(Exception):
    """The peer sent what no version of this protocol sends."""


def split(payload: bytes) -> list[bytes]:
    """The packets of one message."""
    if len(payload) > LIMIT:
        raise ProtocolError(f"message of {len(payload)} bytes exceeds {LIMIT}")
    data = len(payload).to_bytes(_HEADER, "big") + payload
    return [data[start : start + PACKET] for start in range(0, len(data), PACKET)]


class Assembler:
    """Joins packets to messages; one per connection."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._missing = 0

    @property
    def is_empty(self) -> bool:
        """Whether the next packet begins a message."""
        return not self._parts

    def feed(self, packet: bytes) -> bytes | None:
        """The message that this packet completes, or None."""
        if not self._parts:
            if len(packet) < _HEADER:
                raise ProtocolError(f"packet of {len(packet)} bytes has no length")
            self._missing = int.from_bytes(packet[:_HEADER], "big")
            packet = packet[_HEADER:]
            if self._missing > LIMIT:
                raise ProtocolError(f"message of {self._missing} bytes exceeds {LIMIT}")
        elif not packet:
            raise ProtocolError("empty packet inside a message")
        self._parts.append(packet)
        self._missing -= len(packet)
        if self._missing < 0:
            raise ProtocolError("packet exceeds its message")
        if self._missing:
            return None
        message = b"".join(self._parts)
        self._parts.clear()
        return message
