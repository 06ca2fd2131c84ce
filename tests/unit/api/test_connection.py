"""The server half of HTTP over real sockets: keep-alive, streams, back-pressure, take-over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from sampan.api.connection import Connection, Exchange
from sampan.api.http1 import TooLarge

Handler = Callable[[Exchange], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[Streams]:
    """A client's streams to a connection that `handler` answers."""
    ours, theirs = socket.socketpair()
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_unix_connection(lambda: Connection(handler, connections), sock=theirs)
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    try:
        yield reader, writer
    finally:
        writer.close()
        assert connection.task is not None
        await asyncio.wait_for(connection.task, 10)
        assert not connections


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    lines = head.lower().split("\r\n")
    length = next((int(line.split(":")[1]) for line in lines if line.startswith("content-length")), 0)
    return int(head.split()[1]), await reader.readexactly(length)


async def test_requests_follow_each_other_on_one_connection() -> None:
    async def echo(exchange: Exchange) -> None:
        await exchange.respond(200, {}, await exchange.read())

    async with served(echo) as (reader, writer):
        writer.write(
            b"POST /a HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\n\r\none"
            b"POST /b HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert await answer(reader) == (200, b"one")
        writer.write(b"2\r\ntw\r\n1\r\no\r\n0\r\n\r\nGET /c HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
        assert await answer(reader) == (200, b"two")
        assert await answer(reader) == (200, b"")
        assert await reader.read() == b""


async def test_unread_bodies_do_not_become_requests() -> None:
    async def ignore(exchange: Exchange) -> None:
        await exchange.respond(204, {})

    async with served(ignore) as (reader, writer):
        writer.write(b"POST /a HTTP/1.1\r\nHost: d\r\nContent-Length: 27\r\n\r\nGET / HTTP/1.1\r\nHost: d\r\n\r\n")
        assert (await answer(reader))[0] == 204
        writer.write(b"GET / HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
        assert (await answer(reader))[0] == 204
        assert await reader.read() == b""


async def test_bodies_are_bounded() -> None:
    async def small(exchange: Exchange) -> None:
        with pytest.raises(TooLarge):
            await exchange.read(10)
        await exchange.respond(413, {})

    async with served(small) as (reader, writer):
        writer.write(b"POST /a HTTP/1.1\r\nHost: d\r\nContent-Length: 1000000000000\r\n\r\n" + b"x" * 100)
        assert (await answer(reader))[0] == 413
        assert await reader.read() == b""


async def test_malformed_requests_end_the_connection() -> None:
    async def never(exchange: Exchange) -> None:
        raise AssertionError

    async with served(never) as (reader, writer):
        writer.write(b"NONSENSE\r\n\r\n")
        assert b"400 Bad Request" in await reader.read()


async def test_a_stream_reaches_the_client_at_once_and_ends_when_it_leaves() -> None:
    ended = asyncio.Event()

    async def forever(exchange: Exchange) -> None:
        exchange.cancellable = True
        await exchange.stream(200, {})
        try:
            await exchange.write(b"first")
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with served(forever) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: d\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK")
        assert await reader.readexactly(10) == b"5\r\nfirst\r\n"
        writer.close()
        await asyncio.wait_for(ended.wait(), 10)


async def test_work_goes_on_when_the_client_leaves() -> None:
    begun, finish, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(exchange: Exchange) -> None:
        begun.set()
        await finish.wait()
        done.set()
        await exchange.respond(204, {})

    async with served(work) as (_, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: d\r\n\r\n")
        await asyncio.wait_for(begun.wait(), 10)
        writer.close()
        finish.set()
        await asyncio.wait_for(done.wait(), 10)


async def test_a_client_that_does_not_read_stops_the_writer() -> None:
    written = 0
    stuck = asyncio.Event()

    async def flood(exchange: Exchange) -> None:
        nonlocal written
        exchange.cancellable = True
        await exchange.stream(200, {})
        asyncio.get_running_loop().call_later(0.2, stuck.set)
        while True:
            await exchange.write(b"x" * 65536)
            written += 65536

    async with served(flood) as (_, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: d\r\n\r\n")
        await asyncio.wait_for(stuck.wait(), 10)
        assert written < 16 << 20


async def test_expect_continue() -> None:
    async def echo(exchange: Exchange) -> None:
        await exchange.respond(200, {}, await exchange.read())

    async with served(echo) as (reader, writer):
        writer.write(b"PUT / HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"hi")
        assert await answer(reader) == (200, b"hi")
