"""btrfs: every snapshot is a subvolume, made and dropped at once whatever its size.

snapshots/btrfs/<number>/tree      a subvolume
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from sampan.db import Database
from sampan.errors import InvalidArgument
from sampan.linux.libc import filesystem_type

from .snapshotter import SnapshotInfo
from .vfs import Vfs, opened

BTRFS_SUPER_MAGIC = 0x9123683E  # linux/magic.h
_SNAP_CREATE, _SUBVOL_CREATE, _SNAP_DESTROY = 0x50009401, 0x5000940E, 0x5000940F  # linux/btrfs.h
_ARGUMENTS = struct.Struct("q4088s")


class Btrfs(Vfs):
    """The driver for a data root on btrfs."""

    name = "btrfs"
    copies_parents = False

    def __init__(self, root: str, db: Database) -> None:
        with opened(root) as fd:
            if filesystem_type(fd) != BTRFS_SUPER_MAGIC:
                raise InvalidArgument(f"prerequisites for driver not satisfied (wrong filesystem?): btrfs: {root}")
        super().__init__(root, db)

    def _make(self, path: str, parent: SnapshotInfo | None) -> None:
        with opened(path) as directory:
            if parent is None:
                _call(directory, _SUBVOL_CREATE, 0, "tree")
                os.chmod(f"{path}/tree", 0o755)
                return
            with opened(self._tree(parent)) as source:
                _call(directory, _SNAP_CREATE, source, "tree")

    def _dispose(self, path: str) -> None:
        try:
            with opened(path) as directory:
                _call(directory, _SNAP_DESTROY, 0, "tree")
        except FileNotFoundError:
            pass
        except OSError as error:
            # it holds subvolumes that a container made, or is a plain directory: removed name by name instead
            if error.errno not in (errno.ENOTEMPTY, errno.EINVAL, errno.EPERM):
                raise
        super()._dispose(path)


def _call(directory: int, request: int, source: int, name: str) -> None:
    fcntl.ioctl(directory, request, bytearray(_ARGUMENTS.pack(source, name.encode())))
