"""Time as the engine's policies see it, so that tests can turn it."""

from __future__ import annotations

import asyncio
import time


class Clock:
    """The real one."""

    def time_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        """Let that much time pass."""
        await asyncio.sleep(seconds)
