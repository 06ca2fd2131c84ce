"""Removing large trees beside the event loop.

What is to go has lost its row or its name already, so nobody can find it any more and a crash leaves only garbage that
the next start sweeps. One thread, in order; the interpreter waits for it at exit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from sampan.errors import SampanError

log = logging.getLogger("sampan.janitor")


class Janitor:
    """Does chores one after another; a failure is logged and swept up at the next start."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._last: Future[None] | None = None

    def add(self, chore: Callable[[], None], about: str) -> None:
        """Do it later."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="janitor")
        self._last = self._thread.submit(_run, chore, about)

    def settle(self) -> None:
        """Wait until all that was asked for is done."""
        if self._last is not None:
            self._last.result()
            self._last = None

    def close(self) -> None:
        """Finish and end the thread."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None


def _run(chore: Callable[[], None], about: str) -> None:
    try:
        chore()
    except (OSError, SampanError) as error:
        log.warning("cannot remove %s: %s", about, error)
