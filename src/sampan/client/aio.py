"""The asynchronous client: the methods of `Client`, awaited; streams are async iterators that end cleanly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypeVar

from sampan.rpc.frames import Demultiplexer, is_multiplexed

from . import containers, system
from .api import Api
from .call import AsyncSender, Call, Hijack, Stream, decode_bytes
from .connection import ConnectionClosed
from .http11 import LAST_CHUNK, Body, Head, chunk, request_head, split_head
from .negotiation import API_VERSION, Ping, base_headers, common_version
from .status import FIRST_ERROR, daemon_error
from .target import Target, TlsFiles, unreachable

if TYPE_CHECKING:
    from .types import PathStat

T = TypeVar("T")
READ_SIZE = 65536


class AsyncResponse:
    """A head that has arrived, and the body as it comes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: Head, rest: bytes, method: str
    ) -> None:
        self.reader, self.writer, self.head = reader, writer, head
        self.rest = rest
        self._body = Body(head, method)

    async def pieces(self) -> AsyncIterator[bytes]:
        data, self.rest = self.rest, b""
        while True:
            payload = self._body.feed(data)
            if payload:
                yield payload
            if self._body.done:
                return
            data = await self.reader.read(READ_SIZE)
            if not data:
                self._body.end()
                return

    async def lines(self) -> AsyncIterator[bytes]:
        pending = b""
        async for piece in self.pieces():
            *complete, pending = (pending + piece).split(b"\n")
            for line in complete:
                if line.strip():
                    yield line
        if pending.strip():
            yield pending

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.pieces()])

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            return  # a peer that reset the connection has closed it as well


class AsyncHijacked:
    """A two-way stream over what was an HTTP connection."""

    def __init__(self, response: AsyncResponse, multiplexed: bool) -> None:
        self._response, self.multiplexed = response, multiplexed

    async def write(self, data: bytes) -> None:
        self._response.writer.write(data)
        await self._response.writer.drain()

    def close_write(self) -> None:
        """Half-close: the other side reads the end of stdin."""
        if self._response.writer.can_write_eof():
            self._response.writer.write_eof()

    async def frames(self) -> AsyncIterator[tuple[int, bytes]]:
        """`(stream, payload)`; a TTY's bytes come as stream 1."""
        demultiplexer = Demultiplexer()
        data, self._response.rest = self._response.rest, b""
        while True:
            for frame in demultiplexer.feed(data) if self.multiplexed else [(1, data)] if data else []:
                yield frame
            data = await self._response.reader.read(READ_SIZE)
            if not data:
                return

    async def close(self) -> None:
        await self._response.close()


class AsyncClient(Api, AsyncSender):
    """`AsyncClient("unix:///run/sampan.sock")`; one connection per request, so any number may run at once.

    Leaving an `async for` over a stream closes its connection: nothing keeps running in the background.
    """

    def __init__(
        self,
        host: str,
        tls: TlsFiles | None = None,
        *,
        version: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.target = Target(host, tls)
        self._version = version
        self._headers = headers or {}

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        """There is nothing to close; the form is that of `Client`."""

    async def api_version(self) -> str:
        if self._version is None:
            self._version = common_version(API_VERSION, (await self.ping()).api_version)
        return self._version

    async def ping(self) -> Ping:
        response = await self._request(system.ping_call())
        await response.close()
        return Ping(response.head)

    async def send(self, call: Call[T]) -> T:
        response = await self._checked(call)
        try:
            return call.decode(await response.read())
        finally:
            await response.close()

    async def stream(self, call: Stream[T]) -> AsyncIterator[T]:
        response = await self._checked(call)
        try:
            async for piece in response.pieces() if call.decode is decode_bytes else response.lines():
                yield call.decode(piece)
        finally:
            await response.close()

    async def hijack(self, call: Hijack) -> AsyncHijacked:
        response = await self._checked(call)
        kind = response.head.headers.get("content-type", "")
        return AsyncHijacked(response, is_multiplexed(response.head.status, kind))

    async def container_attach(
        self,
        ref: str,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        logs: bool = False,
        detach_keys: str | None = None,
    ) -> AsyncHijacked:
        return await self.hijack(containers.attach_call(ref, stdin, stdout, stderr, logs, detach_keys))

    async def exec_start(
        self, exec_id: str, tty: bool = False, console_size: tuple[int, int] | None = None
    ) -> AsyncHijacked:
        return await self.hijack(containers.exec_start_call(exec_id, tty, console_size))

    async def container_stat(self, ref: str, path: str) -> PathStat:
        response = await self._checked(containers.stat_call(ref, path))
        await response.close()
        stat: PathStat = containers.decode_path_stat(response.head.headers)
        return stat

    async def _checked(self, call: Call[T]) -> AsyncResponse:
        response = await self._request(call)
        if response.head.status >= FIRST_ERROR:
            try:
                body = await response.read()
            finally:
                await response.close()
            raise daemon_error(response.head.status, body)
        return response

    async def _request(self, call: Call[T]) -> AsyncResponse:
        prefix = self.target.base + (f"/v{await self.api_version()}" if call.versioned else "")
        headers = base_headers(self.target, {**self._headers, **call.headers})
        reader, writer = await self._open()
        try:
            await _send(writer, call, call.target(prefix), headers)
            head, rest = await _read_head(reader)
        except BaseException:
            writer.close()
            raise
        return AsyncResponse(reader, writer, head, rest, call.method)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        target = self.target
        try:
            if target.path:
                return await asyncio.open_unix_connection(target.path)
            if target.tls is not None:
                # asyncio cannot half-close TLS; the blocking client's tunnel can.
                return await asyncio.open_unix_connection(sock=await asyncio.to_thread(target.connect))
            return await asyncio.open_connection(target.host, target.port)
        except OSError as error:
            raise unreachable(target.url, error) from error


async def _send(writer: asyncio.StreamWriter, call: Call[T], path: str, headers: dict[str, str]) -> None:
    body = call.body
    if body is None or isinstance(body, bytes):
        if body is not None or call.method in ("POST", "PUT"):
            headers["Content-Length"] = str(len(body or b""))
        writer.write(request_head(call.method, path, headers) + (body or b""))
        await writer.drain()
        return
    headers["Transfer-Encoding"] = "chunked"
    writer.write(request_head(call.method, path, headers))
    try:
        for piece in body:
            if piece:
                writer.write(chunk(piece))
                await writer.drain()
        writer.write(LAST_CHUNK)
        await writer.drain()
    except (BrokenPipeError, ConnectionResetError):
        return  # the server has answered early: its answer is still to be read


async def _read_head(reader: asyncio.StreamReader) -> tuple[Head, bytes]:
    buffer = b""
    while (parts := split_head(buffer)) is None:
        data = await reader.read(READ_SIZE)
        if not data:
            raise ConnectionClosed("error during connect: unexpected EOF")
        buffer += data
    return parts
