"""WebSocket (RFC 6455) as far as `attach/ws` needs it: the handshake, and frames of a server; no I/O of its own."""

from __future__ import annotations

import hashlib
from binascii import b2a_base64
from collections.abc import Callable
from typing import Final

from ..errors import InvalidArgument
from ..rpc.frames import Demultiplexer
from .hijack import Detach

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL: Final = (1000).to_bytes(2, "big")
"""The status code of a normal closure (section 7.4.1)."""
MAX_FRAME: Final = 1 << 20


def accept_key(key: str) -> str:
    """`Sec-WebSocket-Accept` for a client's key (section 4.2.2)."""
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return b2a_base64(digest, newline=False).decode()


def encode(data: bytes, opcode: int = BINARY) -> bytes:
    """One unmasked frame (section 5.2)."""
    size = len(data)
    if size < 126:
        head = bytes((0x80 | opcode, size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")
    return head + data


class Decoder:
    """A client's frames, in any pieces. Raises InvalidArgument for what a client must not send."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(opcode, payload) of every frame that is complete; fragments are frames of their own."""
        self._buffer += data
        frames = []
        while (frame := self._take()) is not None:
            frames.append(frame)
        return frames

    def _take(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        opcode, size, offset = buffer[0] & 0x0F, buffer[1] & 0x7F, 2
        if buffer[0] & 0x70 or not buffer[1] & 0x80:
            raise InvalidArgument("websocket: reserved bits are set or the frame is not masked")
        width = {126: 2, 127: 8}.get(size, 0)
        if len(buffer) < offset + width:
            return None
        if width:
            size = int.from_bytes(buffer[offset : offset + width], "big")
            offset += width
        if size > MAX_FRAME:
            raise InvalidArgument("websocket: frame too large")
        if len(buffer) < offset + 4 + size:
            return None
        mask, payload = buffer[offset : offset + 4], buffer[offset + 4 : offset + 4 + size]
        del buffer[: offset + 4 + size]
        return opcode, _unmask(bytes(payload), bytes(mask))


def _unmask(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


class Inward:
    """What a client sends: payloads of its frames, searched for detach keys, until it closes."""

    def __init__(self, answer: Callable[[bytes], None], leave: Callable[[], None], keys: Detach | None) -> None:
        self._decoder = Decoder()
        self._answer = answer
        self._leave = leave
        self._closed = False
        self._keys = keys

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """The payloads, and whether they had the detach keys; `leave` is called when the client closes."""
        out = bytearray()
        try:
            frames = self._decoder.feed(data)
        except InvalidArgument:
            self._leave()
            return b"", False
        for opcode, payload in frames:
            if opcode == CLOSE:
                self.close(payload[:2])
                self._leave()
                break
            if opcode == PING:
                self._answer(encode(payload[:125], PONG))
            elif opcode in (CONTINUATION, TEXT, BINARY):
                out += payload
        return self._keys.feed(bytes(out)) if self._keys is not None else (bytes(out), False)

    def close(self, code: bytes = NORMAL) -> None:
        """Say that nothing more comes, once: browsers take a connection that just ends for a failure."""
        if not self._closed:
            self._closed = True
            self._answer(encode(code, CLOSE))


class Outward:
    """What a container writes, as binary frames; the stream's own frames are taken off, as Docker does here."""

    def __init__(self, *, framed: bool) -> None:
        self._frames = Demultiplexer() if framed else None

    def __call__(self, data: bytes) -> bytes:
        plain = self._frames.payload(data) if self._frames is not None else data
        return encode(plain) if plain else b""
