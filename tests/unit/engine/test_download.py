"""`docker import URL` from servers that fail."""

from __future__ import annotations

import asyncio

import pytest

from sampan.engine.download import download
from sampan.errors import InvalidArgument, SampanError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n"


async def _fetched(answer: bytes) -> bytes:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return b"".join([chunk async for chunk in download(f"127.0.0.1:{port}/base.tar")])


async def test_a_whole_file() -> None:
    assert await _fetched(HEAD + b"0123456789") == b"0123456789"


@pytest.mark.parametrize(
    ("answer", "text"), [(HEAD + b"012", "7 bytes are missing"), (b"garbage\r\n\r\n", "garbage"), (b"", "closed")]
)
async def test_a_broken_answer_says_what_was_asked_for(answer: bytes, text: str) -> None:
    with pytest.raises(SampanError, match=f'^Get "http://127.0.0.1:[0-9]+/base.tar": .*{text}'):
        await _fetched(answer)


async def test_only_http() -> None:
    for url in ("file:///etc/passwd", "ftp://host/x"):
        with pytest.raises(InvalidArgument, match="unsupported protocol scheme"):
            await anext(download(url))
    with pytest.raises(SampanError, match='Get "http://'):
        await anext(download("http://[::1"))
