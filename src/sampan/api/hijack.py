"""A container's stream over an HTTP connection: the client's connection on one side, the shim's socket on the other.

Bytes pass unchanged: the shim frames them where there is no TTY. The kernel's buffers and asyncio's marks are the
back-pressure: whoever does not read stops the other side, and nobody else.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Final, Protocol

from ..errors import SampanError
from .call import Call, headers
from .connection import ClientGone
from .http1 import REASONS
from .status import status_of

RAW: Final = "application/vnd.docker.raw-stream"
MULTIPLEXED: Final = "application/vnd.docker.multiplexed-stream"


class Detach(Protocol):
    """Watches what the client types for the detach keys."""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether the keys were complete."""
        ...


def stream_type(call: Call, *, tty: bool) -> str:
    """The media type of a stream; before 1.42 it was always the raw one."""
    return RAW if tty or call.version < (1, 42) else MULTIPLEXED


def upgrade_head(call: Call, *, tty: bool, complete: bool) -> bytes:
    """`101 UPGRADED` where the client asked for it, else a plain 200. `complete`: with every answer's headers."""
    upgrade = "upgrade" in call.exchange.head.headers  # some send it without the connection's token
    fields = {"Content-Type": stream_type(call, tty=tty) if upgrade else RAW}
    if upgrade:
        fields |= {"Connection": "Upgrade", "Upgrade": "tcp"}
    if complete:
        fields |= headers()
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    status = "101 UPGRADED" if upgrade else "200 OK"
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode()


class Takeover:
    """The client's connection after its head was sent; either `pump` it or `send` to it, then `close`."""

    def __init__(self, call: Call, client: _Side, transport: asyncio.Transport) -> None:
        connection = call.exchange.connection
        self._client = client
        self._transport = transport
        self._early = bytes(connection.buffer)
        self._early_eof = connection.eof
        connection.buffer.clear()

    @classmethod
    async def take(cls, call: Call, head: bytes) -> Takeover:
        """Send `head` and take the connection over."""
        client = _Side()
        transport = await call.exchange.hijack(head, client)
        client.transport = transport
        return cls(call, client, transport)

    async def send(self, data: bytes) -> None:
        """Write something of our own; waits while the client does not read."""
        if self._transport.is_closing():
            raise ClientGone("client closed the connection")
        self._transport.write(data)
        await self._client.drained()

    async def pump(
        self, stream: socket.socket, detach: Detach | None = None, outward: Callable[[bytes], bytes] | None = None
    ) -> bool:
        """Join both sides until the output ends or the client leaves; True when it detached with the keys.

        The end of what the client sends becomes the end of standard input. `outward` translates what the client gets.
        The client's connection stays open: `close` it.
        """
        shim = _Side(shim=True)
        await asyncio.get_running_loop().create_unix_connection(lambda: shim, sock=stream)
        self._client.join(shim, detach, None)
        shim.join(self._client, None, outward)
        try:
            if self._early:
                self._client.data_received(self._early)
            if self._early_eof:
                self._client.eof_received()
            if not self._transport.is_closing():
                self._transport.resume_reading()
            await shim.ended.wait()
        finally:
            shim.close()
        return self._client.detached

    def leave(self) -> None:
        """End `pump`: the client has said that it leaves."""
        self._client.leave()

    async def gone(self) -> None:
        """Wait until the client has left."""
        await self._client.ended.wait()

    async def left(self) -> None:
        """Wait until the client has ended what it sends; what that is goes nowhere."""
        if not self._early_eof and not self._transport.is_closing():
            self._transport.resume_reading()  # else nobody sees the end, and nothing holds this connection
            await self._client.ended.wait()

    def write(self, data: bytes) -> None:
        """Write without waiting: short control messages."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """End the connection when everything written has been sent."""
        self._client.close()


class _Side(asyncio.Protocol):
    """One side of a pump."""

    def __init__(self, *, shim: bool = False) -> None:
        self.transport: asyncio.Transport
        self._is_shim = shim
        self.ended = asyncio.Event()
        self.detached = False
        self._peer: _Side | None = None
        self._detach: Detach | None = None
        self._translate: Callable[[bytes], bytes] | None = None
        self._full = False
        self._room: asyncio.Event | None = None
        self._gone: Callable[[], None] | None = None

    def join(self, peer: _Side, detach: Detach | None, translate: Callable[[bytes], bytes] | None) -> None:
        self._peer, self._detach, self._translate = peer, detach, translate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        peer = self._peer
        if peer is None:
            return
        if self._detach is not None:
            data, self.detached = self._detach.feed(data)
        if self._translate is not None:
            data = self._translate(data)
        if data and not peer.transport.is_closing():
            peer.transport.write(data)
        if self.detached:
            peer.ended.set()

    def eof_received(self) -> bool:
        peer = self._peer
        if peer is None:
            self.ended.set()
            return True
        if self._is_shim:
            self.ended.set()
            return True
        if not peer.transport.is_closing():
            peer.transport.write_eof()
            self._gone = HANGUPS.watch(self.transport, peer.ended.set)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._unwatch()  # while the descriptor is still ours
        self.ended.set()
        self.resume_writing()
        if self._peer is not None:
            self._peer.ended.set()

    def pause_writing(self) -> None:
        self._full = True
        if self._peer is not None and not self._peer.transport.is_closing():
            self._peer.transport.pause_reading()

    def resume_writing(self) -> None:
        self._full = False
        if self._room is not None:
            self._room.set()
        if self._peer is not None and not self._peer.transport.is_closing():
            self._peer.transport.resume_reading()

    def leave(self) -> None:
        """Let the other side go."""
        if self._peer is not None:
            self._peer.ended.set()

    async def drained(self) -> None:
        """Wait until there is room to write again."""
        while self._full and not self.ended.is_set():
            self._room = asyncio.Event()
            await self._room.wait()

    def close(self) -> None:
        self._unwatch()
        self._peer = None
        self.transport.close()

    def _unwatch(self) -> None:
        if self._gone is not None:
            self._gone()
            self._gone = None


class _Hangups:
    """Tells when a client that has ended its sending is gone altogether.

    asyncio stops watching a connection after its end of file; one that then closes would go unnoticed until the
    container writes again. epoll(7) reports a hang-up without being asked for any event.
    """

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._watched: dict[int, Callable[[], None]] = {}

    def watch(self, transport: asyncio.Transport, gone: Callable[[], None]) -> Callable[[], None]:
        """Call `gone` on the hang-up; the result ends the watch."""
        fd: int = transport.get_extra_info("socket").fileno()
        if self._epoll is None:
            self._epoll = select.epoll()
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._ready)
        self._watched[fd] = gone
        self._epoll.register(fd, 0)
        return lambda: self._forget(fd)

    def _ready(self) -> None:
        assert self._epoll is not None
        for fd, _ in self._epoll.poll(0):
            gone = self._watched.get(fd)
            self._forget(fd)
            if gone is not None:
                gone()

    def _forget(self, fd: int) -> None:
        if self._watched.pop(fd, None) is None or self._epoll is None:
            return
        self._epoll.unregister(fd)
        if not self._watched:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None


HANGUPS: Final = _Hangups()


async def refuse(call: Call, error: SampanError) -> None:
    """How `attach` says that it cannot: status, the stream's media type, and the text as the body."""
    status = status_of(error)
    head = f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}\r\nContent-Type: {RAW}\r\n\r\n{error}\r\n"
    taken = await Takeover.take(call, head.encode())
    taken.close()
