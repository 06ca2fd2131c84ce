"""Layers as id-mapped mounts (Linux 5.12; below an overlay 5.19, detached 6.15): no file changes its owner on disk.

What a container's root makes is root's on the disk as well, so image layers are shared with containers that are not
remapped, and diff, commit and push need not know about any of it.
"""

from __future__ import annotations

import os

from sampan.errors import InvalidArgument
from sampan.linux.credentials import file_system_ids
from sampan.linux.mount import MOUNT_ATTR_IDMAP, clone_tree, mount_setattr
from sampan.model.idmap import IdMap
from sampan.ocirun.rootfs import user_namespace


class Mapper:
    """Owns a user namespace with the map; no process lives in it."""

    def __init__(self, ids: IdMap) -> None:
        self.ids = ids
        self._namespace = user_namespace(*ids.as_oci())

    def clone(self, directory: str) -> int:
        """A detached copy of the mount at a directory that shows its files with mapped owners."""
        fd = clone_tree(directory, recursive=False)
        try:
            mount_setattr(fd, MOUNT_ATTR_IDMAP, userns_fd=self._namespace)
        except OSError:
            os.close(fd)
            raise
        return fd

    def close(self) -> None:
        if self._namespace >= 0:
            os.close(self._namespace)
        self._namespace = -1


def unmappable(driver: str, reason: object) -> InvalidArgument:
    """Why `userns-remap` is refused, and what would help."""
    return InvalidArgument(
        f"user namespaces need id-mapped mounts, which {driver} does not have here: {reason}; a data root on ext4, xfs "
        "or btrfs with Linux 5.19 or later has them, as has the storage driver vfs with Linux 5.12"
    )


class MappedPaths:
    """Layers' directories as paths through mapped mounts; close it once the overlay is made."""

    def __init__(self, mapper: Mapper) -> None:
        self._mapper = mapper
        self._held: dict[str, int] = {}

    def path(self, path: str) -> str:
        """The same directory behind a mapped mount of its parent, which upper and work share as overlayfs wants."""
        parent, _, name = path.rpartition("/")
        if parent not in self._held:
            self._held[parent] = self._mapper.clone(parent)
        return f"/proc/self/fd/{self._held[parent]}/{name}"

    def close(self) -> None:
        for fd in self._held.values():
            os.close(fd)
        self._held.clear()


__all__ = ["MappedPaths", "Mapper", "file_system_ids"]
