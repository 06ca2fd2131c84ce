"""Many messages at once: what grpclib does for each costs a transfer of files more than all the rest of it.

Messages are cut from whatever has arrived (gRPC over HTTP/2, «Length-Prefixed-Message»).
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message
from grpclib.client import Stream

from ..errors import InvalidArgument

Kind = TypeVar("Kind", bound=Message)

_PREFIX: Final = struct.Struct(">BI")
"""Whether it is compressed, length."""
_LARGEST: Final = 16 << 20
"""Octets of a message, as with BuildKit."""


class Octets(Protocol):
    """Of one call, both ways."""

    async def arrived(self) -> bytes:
        """The next ones; nothing at their end."""
        ...

    async def send(self, octets: bytes) -> None:
        """Wait for as long as the other side has no room for them."""
        ...

    async def end(self) -> None:
        """There will be no more."""
        ...


class Messages(Generic[Kind]):
    """Of one call, the same kind both ways; `report` gets the octets that have come so far."""

    def __init__(self, octets: Octets, kind: type[Kind], report: Callable[[int], None] = lambda _: None) -> None:
        self._octets = octets
        self._kind = kind
        self._report = report
        self._size = 0
        self._ready: deque[Kind] = deque()
        self._rest = bytearray()

    async def next(self) -> Kind | None:
        """The next message; None at the end of them."""
        while not self._ready:
            octets = await self._octets.arrived()
            if not octets:
                if self._rest:
                    raise InvalidArgument("malformed message: cut short")
                return None
            self._size += len(octets)
            self._report(self._size)
            self._rest += octets
            self._cut()
        return self._ready.popleft()

    def _cut(self) -> None:
        """Make those ready that are here as a whole."""
        rest, at = self._rest, 0
        while at + _PREFIX.size <= len(rest):
            compressed, length = _PREFIX.unpack_from(rest, at)
            if compressed or length > _LARGEST:
                raise InvalidArgument("malformed message: compressed or too large")
            start = at + _PREFIX.size
            if start + length > len(rest):
                break
            at = start + length
            self._ready.append(self._parsed(bytes(rest[start:at])))
        del rest[:at]

    def _parsed(self, body: bytes) -> Kind:
        try:
            return self._kind.FromString(body)
        except DecodeError as error:
            raise InvalidArgument(f"malformed message: {error}") from error

    async def send(self, messages: Iterable[Kind]) -> None:
        """Send them in as few frames as hold them."""
        bodies = [message.SerializeToString() for message in messages]
        await self._octets.send(b"".join([_PREFIX.pack(0, len(body)) + body for body in bodies]))

    async def end(self) -> None:
        """Send no more."""
        await self._octets.end()


class CallOctets:
    """Implements Octets of a call of ours, below grpclib's messages."""

    def __init__(self, call: Stream[Any, Any]) -> None:
        self._call = call

    async def arrived(self) -> bytes:
        if self._call.initial_metadata is None:
            await self._call.recv_initial_metadata()
        stream = self._call._stream
        with self._call._wrapper:  # it breaks in when the stream is reset or its connection ends
            try:
                first = await stream.recv_data(1)
                return first + await stream.recv_data(stream.buffer._acked_size)  # what else is here of the same frame
            except AssertionError as error:  # a frame without data
                raise InvalidArgument(f"malformed message: {error}") from error

    async def send(self, octets: bytes) -> None:
        with self._call._wrapper:
            await self._call._stream.send_data(octets)

    async def end(self) -> None:
        await self._call.end()
