"""Bodies of requests and answers between the event loop and code that runs in threads."""

from __future__ import annotations

import asyncio
import queue
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import BinaryIO

from ..cas.compression import CHUNK
from ..errors import SampanError

_WORTH_IT = 1 << 16


class Feed:
    """A stream that the event loop fills and a thread reads; a slow reader holds the sender back.

    The loop waits for room without a thread: readers of other feeds may have taken all that the executor has.
    """

    def __init__(self, depth: int = 4) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(depth)
        self._chunks: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()
        self._interrupted = False
        self._left = b""
        self._ended = False

    async def put(self, item: bytes | BaseException) -> None:
        """Hand over a chunk; `b""` is the end, an exception is raised in the reader."""
        await self._room.acquire()
        self._chunks.put(item)

    def read(self, size: int = CHUNK) -> bytes:
        """Up to `size` bytes, waiting for them."""
        if not self._left and not self._ended:
            item = self._chunks.get()
            if self._interrupted or isinstance(item, BaseException):
                self._ended = True
                raise item if isinstance(item, BaseException) else InterruptedError("the client went away")
            self._loop.call_soon_threadsafe(self._room.release)
            self._left, self._ended = item, not item
        data, self._left = self._left[:size], self._left[size:]
        return data

    def interrupt(self) -> None:
        """Make the reader raise."""
        self._interrupted = True
        self._chunks.put(InterruptedError("the client went away"))


@asynccontextmanager
async def fed(body: AsyncIterator[bytes]) -> AsyncIterator[Feed]:
    """`body`, pumped into a stream for a thread."""
    feed = Feed()
    pump = asyncio.create_task(_pump(body, feed))
    try:
        yield feed
    finally:
        pump.cancel()
        feed.interrupt()
        await asyncio.wait({pump})


async def _pump(body: AsyncIterator[bytes], feed: Feed) -> None:
    # docker's client sends each tar header as a chunk of its own; a hand-over costs more than that
    pending = bytearray()
    try:
        async for chunk in body:
            pending += chunk
            if len(pending) >= _WORTH_IT:
                await feed.put(bytes(pending))
                pending.clear()
        if pending:
            await feed.put(bytes(pending))
        await feed.put(b"")
    except (OSError, SampanError) as error:
        await feed.put(error)  # the reader raises it
    except BaseException:
        feed.interrupt()
        raise


@asynccontextmanager
async def spooled(body: AsyncIterator[bytes], tmp: str) -> AsyncIterator[BinaryIO]:
    """The whole body in an unnamed file of `tmp`, at its start."""
    with tempfile.TemporaryFile(dir=tmp, buffering=0) as spool:
        pending, size = list[bytes](), 0
        async for chunk in body:
            pending.append(chunk)
            size += len(chunk)
            if size >= CHUNK:
                await asyncio.to_thread(_write_all, spool, b"".join(pending))
                pending, size = [], 0
        _write_all(spool, b"".join(pending))
        spool.seek(0)
        yield spool


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


async def in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """An iterator that reads the disk, each step in a thread; one that was cancelled ends before its files close."""
    step: asyncio.Task[bytes] | None = None
    try:
        while True:
            step = asyncio.create_task(asyncio.to_thread(next, chunks, b""))
            chunk = await asyncio.shield(step)
            if not chunk:
                return
            yield chunk
    finally:
        if step is not None and not step.done():
            await asyncio.wait({step})
