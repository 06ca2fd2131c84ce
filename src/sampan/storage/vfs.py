"""vfs: every snapshot is a full copy. Slow and large, and works on any file system.

snapshots/vfs/<number>/
  tree/
  mapped/      for containers in a user namespace: the tree once more, mounted with the owners that they see
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from sampan.linux.libc import AT_FDCWD
from sampan.linux.mount import MNT_DETACH, UMOUNT_NOFOLLOW, move_mount, umount2
from sampan.linux.mountinfo import is_mount_point
from sampan.tree.copy import copy_tree
from sampan.tree.extract import Usage
from sampan.tree.walk import usage as measure

from .changes import Comparison, compared_layer
from .idmapped import Mapper, unmappable
from .layers import Layers
from .snapshotter import DELETED, Change, SnapshotInfo

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


@contextmanager
def opened(path: str) -> Iterator[int]:
    """An open directory, closed at the end."""
    fd = os.open(path, _OPEN)
    try:
        yield fd
    finally:
        os.close(fd)


class Vfs(Layers):
    """The driver that needs nothing."""

    name = "vfs"
    copies_parents = True

    def _make(self, path: str, parent: SnapshotInfo | None) -> None:
        os.makedirs(f"{path}/tree", 0o755, exist_ok=True)
        if parent is not None:
            with opened(self._tree(parent)) as source, opened(f"{path}/tree") as target:
                copy_tree(source, target)

    def _is_whole(self, info: SnapshotInfo) -> bool:
        return os.path.isdir(self._tree(info))

    def _tree(self, info: SnapshotInfo) -> str:
        return f"{self.path(info)}/tree"

    def _show(self, info: SnapshotInfo, mapped: bool = False) -> str:
        if not mapped or self.mapper is None:
            return self._tree(info)
        target = self._mapped(info)
        os.makedirs(target, 0o755, exist_ok=True)
        if not is_mount_point(target):
            fd = self.mapper.clone(self._tree(info))
            try:
                move_mount(fd, AT_FDCWD, target)
            finally:
                os.close(fd)
        return target

    def _mapped(self, info: SnapshotInfo) -> str:
        return f"{self.path(info)}/mapped"

    def map_ids(self, mapper: Mapper) -> None:
        try:
            os.close(mapper.clone(self.root))
        except OSError as error:
            raise unmappable(self.name, error) from error
        self.mapper = mapper

    def _is_mounted(self, info: SnapshotInfo) -> bool:
        return super()._is_mounted(info) or (self.mapper is not None and is_mount_point(self._mapped(info)))

    def _detach(self, info: SnapshotInfo) -> None:
        if self.mapper is not None and is_mount_point(self._mapped(info)):
            umount2(self._mapped(info), MNT_DETACH | UMOUNT_NOFOLLOW)

    def _measure(self, info: SnapshotInfo) -> Usage:
        if info.parent is None:
            return measure(self._tree(info))
        with opened(self._tree(info)) as root, opened(self._tree(self.stat(info.parent))) as old:
            changed = [
                change.path[1:] for change in Comparison(root, old, overlay=False).run() if change.kind != DELETED
            ]
            sizes = [os.stat(path, dir_fd=root, follow_symlinks=False) for path in changed]
        return Usage(sum(found.st_size for found in sizes if stat.S_ISREG(found.st_mode)), len(sizes))

    def changes(self, key: str) -> list[Change]:
        info = self.stat(key)
        with opened(self._tree(info)) as new:
            if info.parent is None:
                return Comparison(new, None, overlay=False).run()
            with opened(self._tree(self.stat(info.parent))) as old:
                return Comparison(new, old, overlay=False).run()

    def diff(self, key: str) -> Iterator[bytes]:
        changes = self.changes(key)
        with opened(self._tree(self.stat(key))) as root:
            yield from compared_layer(root, changes)
