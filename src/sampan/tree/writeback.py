"""Files on their way to the disk while more of them are made.

The `syncfs` at the end of a layer would find all of it still in memory: the disk would wait for the processor and then
the processor for the disk.
"""

from __future__ import annotations

import os
import queue
import threading
from types import TracebackType

from sampan.linux.libc import start_writeback

_BATCH = 64
_DEPTH = 4
_WORTH_IT = 16 << 20
"""Bytes that a `syncfs` writes as fast by itself: a call for each file costs more than what it does."""


class Writeback:
    """Takes files that are complete, has them written in a thread of its own, and closes them.

    What writing fails with is told by the `syncfs` that must follow (errseq_t, Linux 4.13), not here.
    """

    def __init__(self) -> None:
        self._bytes = 0
        self._batch: list[int] = []
        self._batches: queue.Queue[list[int]] = queue.Queue(_DEPTH)
        self._thread: threading.Thread | None = None

    def take(self, fd: int, size: int) -> None:
        """Own this file of `size` bytes from now on."""
        self._bytes += size
        if self._bytes < _WORTH_IT:
            os.close(fd)
            return
        self._batch.append(fd)
        if len(self._batch) == _BATCH:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="writeback", daemon=True)
            self._thread.start()
        self._batches.put(self._batch)
        self._batch = []

    def _run(self) -> None:
        while batch := self._batches.get():
            for fd in batch:
                _write(fd)

    def __enter__(self) -> Writeback:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fd in self._batch:
            os.close(fd)  # too few to be worth a thread
        if self._thread is not None:
            self._batches.put([])
            self._thread.join()


def _write(fd: int) -> None:
    try:
        start_writeback(fd)
    except OSError:
        pass  # syncfs will tell, or the file system cannot: this was for speed only
    finally:
        os.close(fd)
