"""S26: a client that reads nothing of a build's or pull's progress does not make the daemon's memory grow."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import pytest

from sampan.api import progress
from sampan.api.call import Call
from sampan.api.connection import Connection, Exchange
from sampan.api.versions import CURRENT
from sampan.engine.engine import Engine
from sampan.model.progress import Progress, Report


async def test_s26_progress_that_nobody_reads_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "BACKLOG", 1 << 20)
    said, given_up = 0, asyncio.Event()

    async def talk(report: Report) -> None:
        nonlocal said
        try:
            while True:
                report(Progress(stream="x" * 1000))
                said += 1
                await asyncio.sleep(0)
        finally:
            given_up.set()

    async def handler(exchange: Exchange) -> None:
        await progress.stream(Call(cast(Engine, None), exchange, CURRENT, {}, ""), talk)

    ours, theirs = socket.socketpair()
    _, served = await asyncio.get_running_loop().create_unix_connection(lambda: Connection(handler, set()), sock=theirs)
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=1 << 10)
    writer.write(b"POST /build HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
    await asyncio.wait_for(given_up.wait(), 30)
    assert said < 4 << 10
    answer = await asyncio.wait_for(reader.read(), 30)
    assert answer.count(b'"stream"') == said
    assert b"given up: the client left 1 MB of progress unread" in answer
    writer.close()
    assert served.task is not None
    await asyncio.wait_for(served.task, 10)
