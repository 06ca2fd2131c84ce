"""Several coroutines at once: the first failure cancels the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def cancel_all(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel and wait for the end of each."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


async def run_all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run them side by side; when one fails the others are cancelled, and its own error is raised."""
    tasks = [asyncio.ensure_future(item) for item in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        await cancel_all(tasks)
        raise
