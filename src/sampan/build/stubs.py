"""Mount points that a step needs and its layer must not show.

A bind mount on `/etc/hosts` needs a file there. What is made for that, and what is still empty afterwards, goes again,
and the times of the directories around it are put back.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from types import TracebackType

from ..linux.openat2 import open_in_root

_ALWAYS = ("/proc", "/sys", "/dev", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname")


class Stubs:
    """`with Stubs(rootfs, targets):` around the run of a step."""

    def __init__(self, rootfs: str, targets: Iterable[str]) -> None:
        self._root = os.open(rootfs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._missing: list[str] = []
        self._times: dict[str, int] = {}
        for target in (*_ALWAYS, *targets):
            self._look(target.rstrip("/"))

    def _look(self, path: str) -> None:
        while path:
            found = self._stat(path)
            parent = path.rpartition("/")[0]
            if found is not None:
                return
            if path not in self._missing:
                self._missing.append(path)
            above = self._stat(parent or "/")
            if above is not None:
                self._times.setdefault(parent or "/", above.st_mtime_ns)
            path = parent

    def _stat(self, path: str) -> os.stat_result | None:
        try:
            fd = open_in_root(self._root, path, os.O_PATH)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def __enter__(self) -> Stubs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for path in sorted(self._missing, key=len, reverse=True):
                self._remove(path)
            for path, time in self._times.items():
                self._restore(path, time)
        finally:
            os.close(self._root)

    def _remove(self, path: str) -> None:
        """Remove an empty file or directory; anything else is the step's own work."""
        parent, _, name = path.rpartition("/")
        try:
            directory = open_in_root(self._root, parent or "/", os.O_PATH | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                os.rmdir(name, dir_fd=directory)
            elif stat.S_ISREG(found.st_mode) and found.st_size == 0:
                os.unlink(name, dir_fd=directory)
        except OSError:
            pass  # gone already, or a directory that is not empty: the step filled it
        finally:
            os.close(directory)

    def _restore(self, path: str, time: int) -> None:
        try:
            fd = open_in_root(self._root, path, os.O_PATH | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            os.utime(f"/proc/self/fd/{fd}", ns=(time, time))
        finally:
            os.close(fd)
