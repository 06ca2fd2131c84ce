"""The daemon's memory: nothing is collected while it starts, and what a burst of requests needed is given back."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from ..linux import allocator

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle

SETTLE_SECONDS = 3.0
"""After the first request of a burst; later ones of the burst do not put it off."""


def begin() -> None:
    """To be called before the daemon's modules are imported: they are no garbage."""
    allocator.use_one_arena()
    allocator.keep_large_blocks()
    gc.disable()


class Settling:
    """`touch` says that something was done."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: TimerHandle | None = None

    def touch(self) -> None:
        """Settle soon."""
        if self._timer is None:
            self._timer = self._loop.call_later(SETTLE_SECONDS, self._settle)

    def _settle(self) -> None:
        self._timer = None
        if not gc.isenabled():
            # Code and classes stay: else every full collection would walk them, for 20 ms and more. The little garbage
            # among them is not worth a first walk.
            gc.freeze()
            gc.enable()
        allocator.trim()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
