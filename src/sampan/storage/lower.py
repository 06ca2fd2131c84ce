"""Look a path up in the layers below, as overlayfs would, without mounting them."""

from __future__ import annotations

import os
import stat
from types import TracebackType

from .changes import is_opaque, is_whiteout

_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class LowerLayers:
    """The own directories of the layers below, nearest first."""

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths
        self._roots: list[int] | None = None

    def __enter__(self) -> LowerLayers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for fd in self._roots or ():
            os.close(fd)
        self._roots = None

    def find(self, path: str) -> int | None:
        """An O_PATH fd of what the merged layers have at `path`, links not followed; the caller closes it."""
        if self._roots is None:
            self._roots = [os.open(path, _PATH | os.O_DIRECTORY) for path in self._paths]
        merged = [os.dup(fd) for fd in self._roots]
        try:
            for name in path.split("/"):
                below = _merge(merged, name)
                for fd in merged:
                    os.close(fd)
                merged = below
            return merged.pop(0) if merged else None
        finally:
            for fd in merged:
                os.close(fd)


def _merge(directories: list[int], name: str) -> list[int]:
    """What `name` is in a stack of directories: several when they merge, one, or none."""
    found: list[int] = []
    for directory in directories:
        try:
            fd = os.open(name, _PATH, dir_fd=directory)
        except (FileNotFoundError, NotADirectoryError):
            continue
        node = os.fstat(fd)
        is_directory = stat.S_ISDIR(node.st_mode)
        if is_whiteout(node) or (found and not is_directory):
            os.close(fd)
            break
        found.append(fd)
        if not is_directory or is_opaque(directory, name):
            break
    return found
