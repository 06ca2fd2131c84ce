"""Bodies of requests for threads: any number at once, held back by a slow reader, ended by a client that leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sampan.cas.threads import run_in_thread
from sampan.engine.bodies import Feed, fed

CHUNKS = 50
SIZE = 1 << 16
"""Of a chunk: what is handed over at once."""
STREAMS = 64


async def _body(sent: list[int], gate: asyncio.Event) -> AsyncIterator[bytes]:
    for number in range(CHUNKS):
        if number == CHUNKS // 2:
            await gate.wait()
        sent.append(number)
        yield bytes(SIZE)


def _read(stream: Feed) -> int:
    size = 0
    while data := stream.read():
        size += len(data)
    return size


async def test_more_streams_than_threads_of_the_executor_go_on() -> None:
    gate, waiting = asyncio.Event(), 0

    async def one() -> int:
        nonlocal waiting
        sent: list[int] = []
        async with fed(_body(sent, gate)) as stream:
            work = asyncio.ensure_future(run_in_thread(lambda: _read(stream), stream.interrupt))
            waiting += 1
            if waiting == STREAMS:
                gate.set()  # all readers wait for the second half of their bodies
            return await work

    async with asyncio.timeout(30):
        assert await asyncio.gather(*(one() for _ in range(STREAMS))) == [CHUNKS * SIZE] * STREAMS


async def test_a_sender_waits_for_its_reader() -> None:
    sent: list[int] = []
    gate = asyncio.Event()
    gate.set()
    async with asyncio.timeout(30), fed(_body(sent, gate)) as stream:
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(sent) <= 6
        assert await run_in_thread(lambda: _read(stream), stream.interrupt) == CHUNKS * SIZE


async def test_cancelled_work_ends_before_its_stream() -> None:
    ended: list[str] = []

    def read(stream: Feed) -> None:
        try:
            _read(stream)
        except InterruptedError:
            ended.append("reader")

    async def one() -> None:
        try:
            async with fed(_body([], asyncio.Event())) as stream:
                await run_in_thread(lambda: read(stream), stream.interrupt)
        finally:
            ended.append("stream")

    task = asyncio.create_task(one())
    await asyncio.sleep(0.05)  # until it reads; sooner is as good
    task.cancel()
    async with asyncio.timeout(30):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ended == ["reader", "stream"]
