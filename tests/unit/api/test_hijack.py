"""A connection handed over to a stream: bytes both ways, half-close, back-pressure, detach, hang-up."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from sampan.api.call import Call
from sampan.api.connection import Connection, Exchange
from sampan.api.hijack import Detach, Takeover

HEAD = b"HTTP/1.1 101 UPGRADED\r\n\r\n"
REQUEST = b"POST /x HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


@dataclass
class Joined:
    """Both ends of a pump: the client's streams, and the container's socket."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    container: socket.socket
    detached: list[bool] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def joined(detach: Detach | None = None, early: bytes = b"", request: bytes = REQUEST) -> AsyncIterator[Joined]:
    ours, theirs = socket.socketpair()
    container, shim = socket.socketpair()
    shim.setblocking(False)
    container.setblocking(False)

    async def handler(exchange: Exchange) -> None:
        taken = await Takeover.take(cast(Call, _Call(exchange)), HEAD)
        both.detached.append(await taken.pump(shim, detach))
        taken.close()
        both.ended.set()

    loop = asyncio.get_running_loop()
    await loop.create_unix_connection(lambda: Connection(handler, set()), sock=theirs)
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    both = Joined(reader, writer, container)
    writer.write(request + early)
    assert await reader.readexactly(len(HEAD)) == HEAD
    try:
        yield both
    finally:
        container.close()
        writer.close()
        await asyncio.wait_for(both.ended.wait(), 10)


@dataclass
class _Call:
    exchange: Exchange


async def receive(sock: socket.socket, length: int) -> bytes:
    loop, data = asyncio.get_running_loop(), b""
    while len(data) < length and (part := await loop.sock_recv(sock, 65536)):
        data += part
    return data


async def test_bytes_that_came_with_the_request_are_first() -> None:
    async with joined(early=b"early ") as both:
        both.writer.write(b"late")
        assert await receive(both.container, 10) == b"early late"


async def test_a_body_of_the_request_is_not_what_the_client_types() -> None:
    request = REQUEST.replace(
        b"\r\n\r\n", b'\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"stdin":1'
    )
    async with joined(request=request, early=b"early") as both:
        assert await receive(both.container, 5) == b"early"


async def test_output_goes_on_after_the_client_has_sent_everything() -> None:
    async with joined() as both:
        both.writer.write_eof()
        assert await receive(both.container, 1) == b""
        await asyncio.get_running_loop().sock_sendall(both.container, b"the answer")
        both.container.close()
        assert await both.reader.read() == b"the answer"
    assert both.detached == [False]


async def test_much_data_both_ways_arrives_whole_with_bounded_buffers() -> None:
    data = os.urandom(8 << 20)
    async with joined() as both:
        loop = asyncio.get_running_loop()
        sending = loop.create_task(loop.sock_sendall(both.container, data))
        both.writer.write(data)
        received, echoed = await asyncio.gather(receive(both.container, len(data)), both.reader.readexactly(len(data)))
        await sending
        assert received == data
        assert echoed == data


async def test_a_client_that_leaves_after_its_half_close_is_noticed() -> None:
    async with joined() as both:
        both.writer.write_eof()
        assert await receive(both.container, 1) == b""
        both.writer.close()
        await asyncio.wait_for(both.ended.wait(), 10)


async def test_detach_keys_end_the_pump() -> None:
    class Keys:
        def feed(self, data: bytes) -> tuple[bytes, bool]:
            before, found, _ = data.partition(b"\x10\x11")
            return before, bool(found)

    async with joined(Keys()) as both:
        both.writer.write(b"ab\x10\x11cd")
        assert await receive(both.container, 10) == b"ab"
        assert await both.reader.read() == b""
    assert both.detached == [True]
