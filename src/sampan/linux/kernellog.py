"""The kernel's log: Documentation/ABI/testing/dev-kmsg."""

from __future__ import annotations

import os
import time

PATH = "/dev/kmsg"


def has_oom_kill(cgroup: str, since: int, path: str = PATH) -> bool:
    """Whether a task of a cgroup or of one below it was killed for memory since a time (ns since the epoch)."""
    # The stamps are the scheduler's clock, which nobody adjusts: clock_gettime(2), CLOCK_MONOTONIC_RAW.
    up_since = time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
    place = f",task_memcg={cgroup}".encode()
    for stamp, text in _records(path):
        # mm/oom_kill.c: "oom-kill:constraint=…,task_memcg=/a/b,task=tail,pid=1,uid=0"
        if stamp * 1000 + up_since >= since and text.startswith(b"oom-kill:"):
            after = text.partition(place)[2][:1]
            if after in (b",", b"/"):
                return True
    return False


def _records(path: str) -> list[tuple[int, bytes]]:
    """(microseconds since boot, text) of what the kernel still has; nothing where one may not look."""
    found: list[tuple[int, bytes]] = []
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return found
    try:
        while record := _next(fd):
            # "6,339,5140900,-;text", then lines of key=value; one record a read
            head, _, text = record.partition(b";")
            found.append((int(head.split(b",")[2]), text))
    finally:
        os.close(fd)
    return found


def _next(fd: int) -> bytes:
    while True:
        try:
            return os.read(fd, 8192)
        except BlockingIOError:
            return b""
        except BrokenPipeError:
            continue  # EPIPE: records were overwritten while we read; the next read goes on behind them
