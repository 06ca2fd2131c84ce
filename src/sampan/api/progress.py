"""Long work that tells how far it is: one JSON line each, as pull, push, load, import and build answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from ..errors import SampanError
from ..model.progress import Progress, Report, failure
from .call import Call, encode

Work = Callable[[Report], Awaitable[object]]

BACKLOG = 64 << 20
"""Octets of lines that a client may leave unread; then its work is given up rather than let memory grow (S26)."""


async def stream(call: Call, work: Work) -> None:
    """Run `work(report)` and send what it reports; it is cancelled when the client leaves or does not read.

    An error before the first line is an answer of its own; later it is the last line, for the status is long sent.
    """
    lines = _Lines()
    task = asyncio.ensure_future(work(lines.put))
    lines.follow(task)
    call.exchange.cancellable = True
    try:
        async for line in lines:
            await _send(call, line)
        await _finish(call, task, full=lines.full)
    finally:
        if not task.done():
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Lines:
    """What was reported and is not sent yet."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._held = 0
        self._work: asyncio.Future[object] | None = None
        self.full = False

    def follow(self, work: asyncio.Future[object]) -> None:
        """They end with `work`, which ends when they are too many."""
        self._work = work
        work.add_done_callback(lambda _: self._queue.put_nowait(b""))

    def put(self, line: Progress) -> None:
        data = encoded(line)
        self._held += len(data)
        self._queue.put_nowait(data)
        if self._held > BACKLOG and self._work is not None and not self.full:
            self.full = True
            self._work.cancel()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while line := await self._queue.get():
            self._held -= len(line)
            yield line


def encoded(line: Progress) -> bytes:
    """A line as Docker's clients read it."""
    return encode(line) + b"\r\n"


async def _finish(call: Call, task: asyncio.Future[object], *, full: bool) -> None:
    try:
        if full and task.cancelled():
            raise SampanError(f"given up: the client left {BACKLOG >> 20} MB of progress unread")
        task.result()
    except (SampanError, OSError) as error:  # a full disk, too, is told on the stream
        if not call.exchange.started:
            raise
        await _send(call, encoded(failure(str(error))))
    if not call.exchange.started:
        await call.stream("application/json")


async def _send(call: Call, line: bytes) -> None:
    if not call.exchange.started:
        await call.stream("application/json")
    await call.exchange.write(line)
