"""Bodies of requests for code that runs in threads."""

from __future__ import annotations

import asyncio
import queue
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import BinaryIO, TypeVar

from ..cas.compression import CHUNK, Readable

T = TypeVar("T")


class Feed:
    """A stream that the event loop fills and a thread reads; a slow reader holds the sender back."""

    def __init__(self, depth: int = 4) -> None:
        self._chunks: queue.Queue[bytes | BaseException] = queue.Queue(depth)
        self._left = b""
        self._ended = False

    async def put(self, item: bytes | BaseException) -> None:
        """Hand over a chunk; `b""` is the end, an exception is raised in the reader."""
        try:
            self._chunks.put_nowait(item)
        except queue.Full:
            await asyncio.to_thread(self._chunks.put, item)

    def read(self, size: int = CHUNK) -> bytes:
        """Up to `size` bytes, waiting for them."""
        if not self._left and not self._ended:
            item = self._chunks.get()
            if isinstance(item, BaseException):
                self._ended = True
                raise item
            self._left, self._ended = item, not item
        data, self._left = self._left[:size], self._left[size:]
        return data

    def close(self) -> None:
        """The reader is done: whoever still waits to put may go on."""
        while not self._chunks.empty():
            self._chunks.get_nowait()


async def read_in_thread(body: AsyncIterator[bytes], reader: Callable[[Readable], T]) -> T:
    """Run `reader(stream)` in a thread while `body` is pumped into the stream; returns its result."""
    feed = Feed()
    work = asyncio.create_task(asyncio.to_thread(reader, feed))
    pump = asyncio.create_task(_pump(body, feed))
    try:
        await asyncio.wait({work, pump}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            await asyncio.wait({work})
    except asyncio.CancelledError:
        await _abandon(feed, work, pump)
        raise
    pump.cancel()
    feed.close()
    await asyncio.gather(pump, return_exceptions=True)
    return work.result()


async def _pump(body: AsyncIterator[bytes], feed: Feed) -> None:
    try:
        async for chunk in body:
            await feed.put(chunk)
    except Exception as error:
        await feed.put(error)
        raise
    else:
        await feed.put(b"")


async def _abandon(feed: Feed, work: asyncio.Task[T], pump: asyncio.Task[None]) -> None:
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)
    feed.close()
    await feed.put(InterruptedError("the client went away"))
    await asyncio.gather(work, return_exceptions=True)


@asynccontextmanager
async def spooled(body: AsyncIterator[bytes], tmp: str) -> AsyncIterator[BinaryIO]:
    """The whole body in an unnamed file of `tmp`, at its start."""
    with tempfile.TemporaryFile(dir=tmp, buffering=0) as spool:
        pending = bytearray()
        async for chunk in body:
            pending += chunk
            if len(pending) >= CHUNK:
                await asyncio.to_thread(_write_all, spool, bytes(pending))
                pending.clear()
        _write_all(spool, bytes(pending))
        spool.seek(0)
        yield spool


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
