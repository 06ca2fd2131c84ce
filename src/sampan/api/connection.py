"""One client connection: requests in, responses out, and its hand-over to a container's stream."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import h11

from .chunks import ChunkJoiner
from .http1 import MAX_HEAD, REASONS, Head, ProtocolError, TooLarge

log = logging.getLogger("sampan.api")

HIGH_WATER = 256 << 10
"""Octets of a request that are held before the client is made to wait."""

MAX_JSON = 16 << 20
LINGER_SECONDS = 0.5
_END_OF_HEAD = re.compile(rb"\n\r?\n")  # as h11 finds it

Handler = Callable[["Exchange"], Awaitable[None]]


class ClientGone(ConnectionError):
    """The client closed its connection."""


class Connection(asyncio.Protocol):
    """Serves one request after the other; `handler` answers each through its `Exchange`."""

    def __init__(self, handler: Handler, connections: set[Connection]) -> None:
        self.handler = handler
        self._connections = connections
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self.buffer = bytearray()
        """What h11 has not got yet: it is fed as it asks, so that a body waits in the client's socket."""
        self.eof = False
        self._head = b""
        """The last octets of a head that goes on."""
        self._joiner: ChunkJoiner | None = None
        self.transport: asyncio.Transport
        self.task: asyncio.Task[None] | None = None
        self._exchange: Exchange | None = None
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._reading = True
        self._lost = False
        self._ending = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._connections.add(self)
        self.task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if len(self.buffer) > HIGH_WATER and self._reading:
            self._reading = False
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self.eof = True
        self._wake()
        self._client_left()
        return True  # a client that has sent all its standard input still reads

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = self.eof = True
        self._connections.discard(self)
        self._wake()
        self.resume_writing()
        self._client_left()

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def _wake(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    def _client_left(self) -> None:
        if self._exchange is not None and self._exchange.cancellable and self.task is not None:
            self.task.cancel()

    # used by Exchange

    async def event(self) -> h11.Event | None:
        """The next event of the request; None when the client sends nothing more."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            while not (data := self._take()):
                if not await self._more():
                    return None
            self.http.receive_data(data)
        if isinstance(event, h11.Request):
            chunked = any(name == b"transfer-encoding" for name, _ in event.headers)
            begun = self.http.trailing_data[0]  # a request that came together with the one before
            self._joiner = ChunkJoiner() if chunked and not begun else None
        return event if isinstance(event, h11.Event) else None

    def _take(self) -> bytes:
        """What h11 is to get next of the buffer: never more than the end of a head, so that chunks can be joined."""
        if self._joiner is not None and self.http.their_state is h11.SEND_BODY:
            return self._joiner.take(self.buffer)
        end = len(self.buffer)
        if self.http.their_state is h11.IDLE:
            seen = self._head + self.buffer
            found = _END_OF_HEAD.search(seen)
            end = found.end() - len(self._head) if found is not None else end
            self._head = bytes(seen[-2:]) if found is None else b""
        data = bytes(self.buffer[:end])
        del self.buffer[:end]
        return data

    async def _more(self) -> bool:
        """Wait for more octets in `buffer`; False at the end of what the client sends."""
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()
        if self.eof:
            return False
        self._readable = asyncio.get_running_loop().create_future()
        await self._readable
        return bool(self.buffer)

    async def write(self, data: bytes) -> None:
        """Send; waits while the client does not read."""
        if self._lost:
            raise ClientGone("client closed the connection")
        self.transport.write(data)
        if self._writable is not None:
            await self._writable

    def hijack(self, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        """Give the connection to another protocol: what arrives from now on is its own.

        Octets that came already are in `buffer`, and `eof` says whether there will be no more. `end` still ends the
        handler of a request that is `cancellable`.
        """
        self._ending = True
        self.buffer[:0] = self.http.trailing_data[0]
        if self._exchange is None or not self._exchange.cancellable:
            self._connections.discard(self)
        self.transport.pause_reading()
        self.transport.set_protocol(protocol)
        return self.transport

    def end(self) -> None:
        """Close once the request in progress is answered; streams end at once (the daemon stops)."""
        self._ending = True
        if self.task is not None and (self._exchange is None or self._exchange.cancellable):
            self.task.cancel()

    async def _serve(self) -> None:
        hijacked = False
        try:
            while not self._ending and not hijacked:
                hijacked = await self._serve_one()
        except (ClientGone, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(self)
            if not hijacked:
                self.transport.close()

    async def _serve_one(self) -> bool:
        """Answer one request; True when its handler took the connection over."""
        exchange = await self._next_request()
        if exchange is None:
            self._ending = True
            return False
        self._exchange = exchange
        try:
            await self.handler(exchange)
            if exchange.hijacked:
                return True
            await exchange.finish()
        finally:
            self._exchange = None
        self._ending |= not exchange.reusable or self.eof
        return False

    async def _next_request(self) -> Exchange | None:
        try:
            event = await self.event()
            return Exchange(self, Head.of(event)) if isinstance(event, h11.Request) else None
        except h11.RemoteProtocolError as error:
            await self._refuse(error)
            return None

    async def _refuse(self, error: h11.RemoteProtocolError) -> None:
        """What is no HTTP is answered as Go's server does."""
        status = f"{error.error_status_hint} {REASONS.get(error.error_status_hint, 'Bad Request')}"
        text = f"{status}: {error}".encode()
        fields = f"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: {len(text)}\r\n\r\n"
        await self.write(f"HTTP/1.1 {status}\r\n{fields}".encode() + text)


class Exchange:
    """One request and its answer."""

    def __init__(self, connection: Connection, head: Head) -> None:
        self.connection = connection
        self.head = head
        self.cancellable = False
        """The handler only watches: it is cancelled when the client leaves. Others finish what they began."""
        self.hijacked = False
        self.status = 0
        self._http = connection.http
        self._received = False
        self._closing = False

    # the request's body

    @property
    def has_body(self) -> bool:
        return self.head.content_length != 0

    async def body(self) -> AsyncIterator[bytes]:
        """The body as it arrives; a client that leaves within it is an error."""
        if self._http.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[], reason="Continue"))
        while not self._received:
            event = await self._event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self._received = True
            else:
                raise ClientGone("client closed the connection within a request")

    async def _event(self) -> h11.Event | None:
        try:
            return await self.connection.event()
        except h11.RemoteProtocolError as error:
            self._closing = True
            raise ProtocolError(str(error)) from None

    async def read(self, limit: int = MAX_JSON) -> bytes:
        """The whole body; more than `limit` octets is an error."""
        data = bytearray()
        async for part in self.body():
            data += part
            if len(data) > limit:
                raise TooLarge(f"http: request body too large: more than {limit} bytes")
        return bytes(data)

    # the answer

    @property
    def started(self) -> bool:
        """Whether the status has been sent."""
        return self.status != 0

    @property
    def reusable(self) -> bool:
        return not self._closing

    async def respond(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        """A complete answer; a HEAD request gets its head only."""
        if status not in (204, 304):
            headers = {**headers, "Content-Length": str(len(body))}
        self._closing |= not self._received and not self._drainable()
        data = [h11.Data(body)] if body and self.head.method != "HEAD" else []
        await self._send(self._response(status, headers), *data, h11.EndOfMessage())
        if self._closing and not self._received and not self._http.they_are_waiting_for_100_continue:
            await self._linger()

    async def _linger(self) -> None:
        """Read on a little before the close (RFC 9112 section 9.6).

        A client that is still sending would meet a broken pipe before it reads why it was refused.
        """
        taken = 0
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                async for part in self.body():
                    taken += len(part)
                    if taken > HIGH_WATER:
                        break
        except (TimeoutError, ClientGone, ProtocolError):
            return

    async def stream(self, status: int, headers: dict[str, str]) -> None:
        """Begin an answer of unknown length; its head goes out at once. `write` goes on, `finish` ends it."""
        await self._send(self._response(status, headers))

    def _response(self, status: int, headers: dict[str, str]) -> h11.Response:
        self.status = status
        end = {"Connection": "close"} if self._closing else {}
        date = {"Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())}  # RFC 9110 section 5.6.7
        given = {**headers, **date, **end}.items()
        fields = [(name.encode(), value.encode("latin-1", "replace")) for name, value in given]
        return h11.Response(status_code=status, headers=fields, reason=REASONS.get(status, "Status"))

    async def write(self, data: bytes) -> None:
        """A part of a streamed answer, sent at once."""
        if data:
            await self._send(h11.Data(data))

    async def _send(self, *events: h11.Event) -> None:
        await self.connection.write(b"".join(self._http.send(event) or b"" for event in events))

    async def finish(self) -> None:
        """End the answer and make the connection ready for the next request."""
        if self._closing:
            return
        if self._http.our_state is h11.SEND_BODY:
            await self._send(h11.EndOfMessage())
        async for _ in self.body():
            pass
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            self._closing = True

    def _drainable(self) -> bool:
        length = self.head.content_length
        return length is not None and length <= HIGH_WATER and not self._http.they_are_waiting_for_100_continue

    def abort(self) -> None:
        """Break a streamed answer off, so that the client sees that it is incomplete."""
        self._closing = True

    async def hijack(self, head: bytes, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        """Send `head` as it is and give the connection to `protocol`; see `Connection.hijack`.

        A body of known length is the request's, not the first of what the stream carries: docker-modem (Node) sends one
        along with every `attach`.
        """
        if self.head.content_length:
            await self.read()
        self.hijacked = True
        self.status = 101
        await self.connection.write(head)
        return self.connection.hijack(protocol)
