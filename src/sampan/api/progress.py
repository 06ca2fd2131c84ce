"""Long work that tells how far it is: one JSON line each, as pull, push, load, import and build answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..errors import SampanError
from ..model.progress import Progress, Report, failure
from .call import Call, encode

Work = Callable[[Report], Awaitable[object]]


async def stream(call: Call, work: Work) -> None:
    """Run `work(report)` and send what it reports; it is cancelled when the client leaves.

    An error before the first line is an answer of its own; later it is the last line, for the status is long sent.
    """
    lines: asyncio.Queue[Progress | None] = asyncio.Queue()
    task = asyncio.ensure_future(work(lines.put_nowait))
    task.add_done_callback(lambda _: lines.put_nowait(None))
    call.exchange.cancellable = True
    try:
        while (line := await lines.get()) is not None:
            await _send(call, line)
        await _finish(call, task)
    finally:
        if not task.done():
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _finish(call: Call, task: asyncio.Future[object]) -> None:
    try:
        task.result()
    except (SampanError, OSError) as error:  # a full disk, too, is told on the stream
        if not call.exchange.started:
            raise
        await _send(call, failure(str(error)))
    if not call.exchange.started:
        await call.stream("application/json")


async def _send(call: Call, line: Progress) -> None:
    if not call.exchange.started:
        await call.stream("application/json")
    await call.exchange.write(encode(line) + b"\r\n")
