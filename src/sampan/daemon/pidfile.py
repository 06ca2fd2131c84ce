"""The pid file: one daemon per file, for as long as it runs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..errors import Conflict


@contextmanager
def held(path: str) -> Iterator[None]:
    """Write our pid and hold the file's lock; Conflict while another daemon holds it.

    The lock, not the number, says whether that daemon lives: after a power cut the number may be another process's.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(fd, 32).decode(errors="replace").strip()
        os.close(fd)
        raise Conflict(
            f"failed to start daemon, ensure sampand is not running or delete {path}: "
            f"process with PID {pid} is still running"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):  # somebody tidied up
            os.unlink(path)
        os.close(fd)
