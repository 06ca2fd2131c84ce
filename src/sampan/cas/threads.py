"""Work in threads that is never abandoned half done."""

from __future__ import annotations

import asyncio
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
