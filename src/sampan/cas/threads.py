"""Work in threads that is never abandoned half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def run_in_thread(work: Callable[[], T], interrupt: Callable[[], None] | None = None) -> T:
    """Run `work` in a thread and wait for its end even when cancelled: it may hold files that are about to be closed.

    `interrupt` is called on cancellation, to make work that waits for something give up.
    """
    task = asyncio.ensure_future(asyncio.to_thread(work))
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
