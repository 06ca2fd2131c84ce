"""A clock that a test turns."""

from __future__ import annotations

import asyncio
import heapq
import itertools

from sampan.engine.clock import Clock

SECOND = 1_000_000_000


class FakeClock(Clock):
    """Time stands still until `advance`; sleepers wake in the order of their times."""

    def __init__(self) -> None:
        self._now = 1_700_000_000 * SECOND
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self.asked: list[float] = []
        """The seconds of every sleep that was asked for."""
        self._new = asyncio.Event()

    def time_ns(self) -> int:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + round(seconds * SECOND), next(self._order), future))
        self._new.set()
        await future

    async def sleeping(self) -> None:
        """Wait until somebody sleeps."""
        while not any(not future.done() for _, _, future in self._sleepers):
            self._new.clear()
            await asyncio.wait_for(self._new.wait(), 20)

    async def advance(self, seconds: float) -> None:
        """Let time pass and wake whoever is due."""
        self._now += round(seconds * SECOND)
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
        await asyncio.sleep(0)

    async def next(self) -> float:
        """Wait for a sleeper, and let just the time pass that it wants → seconds."""
        await self.sleeping()
        due = min(entry for entry in self._sleepers if not entry[2].done())[0]
        seconds = (due - self._now) / SECOND
        await self.advance(seconds)
        return seconds
