"""Removing large trees beside the event loop.

What is to go has lost its row or its name already, so nobody can find it any more and a crash leaves only garbage that
the next start sweeps. One thread, in order; it does not keep the process from ending.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from sampan.errors import SampanError

log = logging.getLogger("sampan.janitor")

CLOSE_SECONDS = 3.0
"""How long an end of the daemon waits: what is not done by then is swept up by the next start."""


class Janitor:
    """Does chores one after another; a failure is logged and swept up at the next start."""

    def __init__(self) -> None:
        self._chores: queue.SimpleQueue[Callable[[], None] | None] | None = None

    def add(self, chore: Callable[[], None], about: str) -> None:
        """Do it later."""
        self._put(lambda: _run(chore, about))

    def _put(self, chore: Callable[[], None] | None) -> None:
        if self._chores is None:
            self._chores = queue.SimpleQueue()
            threading.Thread(target=_work, args=(self._chores,), name="janitor", daemon=True).start()
        self._chores.put(chore)

    def settle(self, seconds: float | None = None) -> bool:
        """Wait until all that was asked for is done, or for so long; whether it is."""
        if self._chores is None:
            return True
        done = threading.Event()
        self._put(done.set)
        return done.wait(seconds)

    def close(self) -> None:
        """Finish what is quick and end the thread."""
        if not self.settle(CLOSE_SECONDS):
            log.info("left for the next start to remove")
        if self._chores is not None:
            self._put(None)
            self._chores = None


def _work(chores: queue.SimpleQueue[Callable[[], None] | None]) -> None:
    while (chore := chores.get()) is not None:
        chore()


def _run(chore: Callable[[], None], about: str) -> None:
    try:
        chore()
    except (OSError, SampanError) as error:
        log.warning("cannot remove %s: %s", about, error)
