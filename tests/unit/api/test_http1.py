"""Requests that are none, and bodies: over a connection, whole and in pieces."""

from __future__ import annotations

import pytest

from sampan.api.connection import Exchange
from sampan.api.http1 import MAX_HEAD, ProtocolError

from .test_connection import answer, served

HOST = b"Host: d\r\n"


async def never(exchange: Exchange) -> None:
    raise AssertionError(exchange.head)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
        (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"G@T / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad name : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /" + b"a" * (MAX_HEAD + 1), 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)
async def test_malformed_heads_are_refused(text: bytes, status: int) -> None:
    async with served(never) as (reader, writer):
        writer.write(text)
        assert (await answer(reader))[0] == status
        assert await reader.read() == b""


async def test_heads_and_chunks_in_any_pieces() -> None:
    async def echo(exchange: Exchange) -> None:
        body = await exchange.read()
        await exchange.respond(
            200, {}, f"{exchange.head.target} {exchange.head.headers['x-a']} {body.decode()}".encode()
        )

    coded = b"POST /x?y=%20 HTTP/1.1\r\nHost: d\r\nX-A: 1\r\nX-a: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
    coded += b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
    async with served(echo) as (reader, writer):
        for step in (1, 2, 7, len(coded)):
            for start in range(0, len(coded), step):
                writer.write(coded[start : start + step])
                await writer.drain()
            assert await answer(reader) == (200, b"/x?y=%20 1,2 hello world")


@pytest.mark.parametrize("coded", [b"x\r\n", b"-1\r\n", b"5\r\nhelloX\r\n", b"f" * 21 + b"\r\n"])
async def test_malformed_chunks_are_refused(coded: bytes) -> None:
    async def read(exchange: Exchange) -> None:
        with pytest.raises(ProtocolError):
            await exchange.read()
        await exchange.respond(400, {})

    async with served(read) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n" + coded)
        assert (await answer(reader))[0] == 400
        assert await reader.read() == b""
