"""Coroutines on the shim's loop: `await exited(loop, pid)` is all there is to await."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from typing import Any

    from .loop import Loop


class exited:
    """Awaitable: the exit status of a child, 128 + n for a signal."""

    def __init__(self, loop: Loop, pid: int) -> None:
        self.loop, self.pid = loop, pid

    def __await__(self) -> Generator[exited, int, int]:
        return (yield self)


def run(coroutine: Coroutine[exited, int, Any]) -> None:
    """Drive a coroutine to its end; it handles its own errors."""
    _step(coroutine, None)


def _step(coroutine: Coroutine[exited, int, Any], value: Any) -> None:
    try:
        wait = coroutine.send(value)
    except StopIteration:
        return
    wait.loop.on_exit(wait.pid, lambda status: _step(coroutine, status))


def print_exception() -> None:
    """The present exception with its traceback, to stderr: in a container's shim that is its shim.log."""
    import traceback  # only once something is wrong: it costs every shim 100 KB

    traceback.print_exc(file=sys.stderr)


def redirect(output: str) -> None:
    """stdout and stderr to a file, stdin from nowhere."""
    null = os.open("/dev/null", os.O_RDONLY)
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(log)
