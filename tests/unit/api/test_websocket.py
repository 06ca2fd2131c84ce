"""`attach/ws` over a real connection, on an engine at rest."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sampan.api.app import App
from sampan.engine import events
from sampan.engine.engine import Engine
from sampan.model.container import LogConfig
from tests.support import rest

REQUEST = (
    "GET /v1.51/containers/box/attach/ws?{query} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CLOSE = bytes((0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8))
"""A masked close frame, 1000 (RFC 6455 section 5.5.1)."""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with rest.engine(tmp_path) as made:
        yield made


@asynccontextmanager
async def attached(engine: Engine, query: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    ours, theirs = socket.socketpair()
    app = App(engine, lambda: None)
    await asyncio.get_running_loop().create_unix_connection(app.connection, sock=theirs)
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    writer.write(REQUEST.format(query=query).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"101 Switching Protocols" in head and b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    try:
        yield reader, writer
    finally:
        writer.close()


async def test_a_close_frame_is_answered_and_ends_the_attachment(engine: Engine) -> None:
    box = await rest.container(engine)
    async with attached(engine, "stream=1&stdout=1&stdin=1") as (reader, writer):
        assert len(engine.live(box).pending) == 1
        writer.write(CLOSE)
        assert await asyncio.wait_for(reader.read(), 10) == b"\x88\x02\x03\xe8"
    assert engine.live(box).pending == []
    seen = [event.action async for some in events.follow(engine.events, 0, time.time_ns()) for event in some]
    assert seen[-1] == "attach"  # to detach takes the keys


async def test_the_end_of_the_output_is_said_with_a_close_frame(engine: Engine) -> None:
    box = await rest.container(engine)
    async with attached(engine, "stream=1&stdout=1") as (reader, _):
        engine.live(box).pending[0].socket.close()
        assert await asyncio.wait_for(reader.read(), 10) == b"\x88\x02\x03\xe8"


async def test_a_failure_after_the_handshake_ends_the_connection(engine: Engine) -> None:
    box = await rest.container(engine, log_config=LogConfig(type="none"))
    async with attached(engine, "logs=1&stdout=1") as (reader, _):
        await asyncio.wait_for(reader.read(), 10)
    assert engine.live(box).pending == []
