"""Directories below a root, held open and found again by path."""

from __future__ import annotations

import errno
import os
from types import TracebackType

from sampan.linux.openat2 import open_in_root

O_DIRECTORY_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_AT_ONCE = 128


class Directories:
    """A cache of directory fds by relative path; each step is opened without following links.

    A component that is a link is resolved inside the root, as a container would; where `root` is only a part of a
    container's tree, `scope` is the fd of that tree and `prefix` the path of `root` in it. The caller calls `forget`
    when it removes or replaces something that may be cached.
    """

    def __init__(self, root: int, scope: int | None = None, prefix: str = "") -> None:
        self.root = root
        self._scope = root if scope is None else scope
        self._prefix = prefix
        self._open: dict[str, int] = {}

    def __enter__(self) -> Directories:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget()

    def open(self, path: str) -> int:
        """An fd of the directory at `path` (relative, clean), owned by the cache. Raises OSError as open does."""
        if not path:
            return self.root
        found = self._open.get(path)
        if found is not None:
            return found
        parent, _, name = path.rpartition("/")
        above = self._open.get(parent) if parent else self.root
        if above is None:
            above = self._descend(parent)
        return self.keep(path, self._step(above, name, path))

    def _descend(self, path: str) -> int:
        """From the longest open prefix down, one step at a time: no recursion, no PATH_MAX."""
        done = path
        while done and done not in self._open:
            done = done.rpartition("/")[0]
        fd = self._open[done] if done else self.root
        for name in path[len(done) :].strip("/").split("/"):
            done = f"{done}/{name}" if done else name
            fd = self.keep(done, self._step(fd, name, done))
        return fd

    def _step(self, above: int, name: str, path: str) -> int:
        try:
            return os.open(name, O_DIRECTORY_PATH, dir_fd=above)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            return open_in_root(self._scope, f"{self._prefix}/{path}", os.O_PATH | os.O_DIRECTORY)

    def keep(self, path: str, fd: int) -> int:
        """Put an open directory into the cache, which owns it from now on."""
        old = self._open.pop(path, -1)
        if old >= 0:
            os.close(old)
        if len(self._open) >= _OPEN_AT_ONCE:
            os.close(self._open.pop(next(iter(self._open))))
        self._open[path] = fd
        return fd

    def forget(self) -> None:
        """Close everything: something on the way may have been replaced."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
