"""What comes from a client's directory while a build runs, and how far it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from .filesync import Local, receive

if TYPE_CHECKING:
    from ..build.filetree import FileTree
    from .sessions import Session
    from .solves import Solve
    from .status import Step

T = TypeVar("T")

_EVERY: Final = 0.1
"""Seconds between two reports of how far a transfer is."""


@contextmanager
def counting(step: Step, text: str) -> Iterator[Callable[[int], None]]:
    """Show below a step how many bytes have been transferred, now and then; what is given is told of them."""
    size, shown = 0, time.monotonic()

    def report(transferred: int) -> None:
        nonlocal size, shown
        size, now = transferred, time.monotonic()
        if now - shown >= _EVERY:
            step.show(text, size)
            shown = now

    yield report
    step.show(text, size, done=True)


async def fetch(solve: Solve, session: Session, local: Local, step: Step, what: str = "") -> FileTree:
    """A client's directory, with its progress shown below a step; it is good for as long as the build lasts."""
    with counting(step, f"transferring {what or local.name}:") as report:
        return await receive(solve.engine, session, local, solve.stack, report)
    raise AssertionError("not reached")


def once(work: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[T]]:
    """The same work, done once however many wait for it; who waits next does it again where that was given up."""
    lock, found = asyncio.Lock(), list[T]()

    async def result() -> T:
        async with lock:
            if not found:
                found.append(await work())
            return found[0]

    return result
