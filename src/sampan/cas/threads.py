"""Work in threads that is never abandoned half done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_WAITING = ThreadPoolExecutor(1024, thread_name_prefix="waiting")
"""For work that waits for others. asyncio's own has CPUs + 4 threads: a handful of streams that wait for their clients
would take all of them, and whoever could go on would find none."""


async def run_in_thread(work: Callable[[], T], interrupt: Callable[[], None] | None = None) -> T:
    """Run `work` in a thread and wait for its end even when cancelled: it may hold files that are about to be closed.

    `interrupt` is called on cancellation, to make work that waits for something give up; its threads are apart.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(loop.run_in_executor(_WAITING if interrupt else None, work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if interrupt is not None:
            interrupt()
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()
        raise


async def run_abandonable(work: Callable[[], T]) -> T:
    """Run what may hang for ever (a server that is away) in a thread that nobody waits for at the end of the process.

    Not for work that uses what its caller closes: after a cancellation it goes on.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():
            return  # nobody wants it any more
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # of that type where there is no error

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 (raised again in the caller)
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="abandonable", daemon=True).start()
    return await future
