"""overlay2: one directory per layer, stacked by the kernel's overlayfs.

    snapshots/overlay2/<number>/
      diff/      the layer's own files (lowerdir of what lies on it, upperdir of an active snapshot)
      work/      overlayfs' own, only for active snapshots
      merged/    mount point

The mount API (fsopen, lowerdir+ since Linux 6.5) takes each layer by itself, so any number up to the kernel's 500 is
fine. Older kernels get mount(2) with relative paths, which fit into its one page of options for about 400 layers.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from sampan.db import Database
from sampan.errors import InvalidArgument, SampanError
from sampan.linux import quota
from sampan.linux.credentials import file_system_ids
from sampan.linux.libc import AT_FDCWD
from sampan.linux.mount import (
    MS_PRIVATE,
    MS_REC,
    clone_tree,
    fsconfig_create,
    fsconfig_string,
    fsmount,
    fsopen,
    mount,
    move_mount,
)
from sampan.linux.namespaces import CLONE_NEWNS, unshare
from sampan.tree.extract import Usage
from sampan.tree.private import in_thread
from sampan.tree.walk import usage as measure

from .changes import Comparison, overlay_layer
from .idmapped import MappedPaths, Mapper, unmappable
from .layers import Layers
from .snapshotter import Change, SnapshotInfo

_OPTIONS = (("index", "off"), ("metacopy", "off"), ("redirect_dir", "off"))
"""Kernels may be built with these on; a layer whose upper directory they change is not a plain tree any more."""
_STRING_LIMIT = 255  # fsconfig(2) takes strings of up to 255 bytes


class Overlay(Layers):
    """The driver for every file system that overlayfs can lie on."""

    name = "overlay2"
    markers = False
    """Whether whiteouts may be files named `.wh.…`, as fuse-overlayfs writes them."""

    def __init__(self, root: str, db: Database) -> None:
        super().__init__(root, db)
        self.has_limits = quota.enforced(self.root)
        if not self._rows:
            self._probe()

    def _probe(self) -> None:
        """InvalidArgument where no overlay can be mounted: on another overlayfs, on NFS, in a container."""
        number = self._new_directory()
        try:
            path = f"{self.root}/{number}"
            for name in ("diff", "work", "merged"):
                os.mkdir(f"{path}/{name}")
            self._test_mount(path)
        except (OSError, SampanError) as error:
            raise InvalidArgument(f"driver not supported: {self.name}: {error}") from error
        finally:
            self._dispose(f"{self.root}/{number}")

    def _test_mount(self, path: str) -> None:
        os.close(self._stack([], f"{path}/diff", f"{path}/work"))

    def _make(self, path: str, parent: SnapshotInfo | None) -> None:
        for name in ("diff", "work", "merged"):
            os.makedirs(f"{path}/{name}", 0o755, exist_ok=True)
        if parent is not None:
            _copy_root_mode(f"{self.path(parent)}/diff", f"{path}/diff")

    def _is_whole(self, info: SnapshotInfo) -> bool:
        return os.path.isdir(f"{self.path(info)}/diff")

    def _seal(self, info: SnapshotInfo) -> None:
        for name in ("work/work", "work/index", "work"):
            try:
                os.rmdir(f"{self.path(info)}/{name}")
            except OSError:
                pass  # what overlayfs left in it goes with the snapshot

    def upper(self, key: str) -> str | None:
        return f"{self.path(self.stat(key))}/diff"

    def lowers(self, key: str) -> list[str]:
        return [f"{self.path(info)}/diff" for info in self.parents(key)]

    def _tree(self, info: SnapshotInfo) -> str:
        return f"{self.path(info)}/merged"

    def _is_mounted(self, info: SnapshotInfo) -> bool:
        path = self.path(info)
        try:
            return os.stat(f"{path}/merged").st_dev != os.stat(path).st_dev
        except FileNotFoundError:
            return False

    def _show(self, info: SnapshotInfo, mapped: bool = False) -> str:
        target = self._tree(info)
        if self._is_mounted(info):
            return target
        lowers = self.lowers(info.key)
        path = self.path(info)
        upper, work = (None, None) if info.committed else (f"{path}/diff", f"{path}/work")
        if info.committed:
            os.makedirs(target, exist_ok=True)
            lowers = [f"{path}/diff", *lowers]
        if mapped and self.mapper is not None:
            self._attach(info, self._mapped_stack(lowers, upper, work))
        else:
            self._mount_stack(info, lowers, upper, work)
        return target

    def _mount_stack(self, info: SnapshotInfo, lowers: list[str], upper: str | None, work: str | None) -> None:
        self._attach(info, self._stack(lowers, upper, work))

    def _attach(self, info: SnapshotInfo, stacked: int) -> None:
        try:
            move_mount(stacked, AT_FDCWD, self._tree(info))
        finally:
            os.close(stacked)

    def _mapped_stack(self, lowers: list[str], upper: str | None, work: str | None) -> int:
        assert self.mapper is not None
        if len(lowers) < (1 if upper else 2):
            lowers = [*lowers, self._empty()]
        paths = MappedPaths(self.mapper)
        try:
            # overlayfs works with the credentials of who mounted it: they too must have an id that is mapped.
            with file_system_ids(*self.mapper.ids.root):
                return _new_stack(
                    [paths.path(lower) for lower in lowers], upper and paths.path(upper), work and paths.path(work)
                )
        finally:
            paths.close()

    def map_ids(self, mapper: Mapper) -> None:
        number = self._new_directory()
        try:
            path = f"{self.root}/{number}"
            for name in ("diff", "work"):
                os.mkdir(f"{path}/{name}")
            self.mapper = mapper
            os.close(self._mapped_stack([], f"{path}/diff", f"{path}/work"))
        except OSError as error:
            raise unmappable(self.name, error) from error
        finally:
            self._dispose(f"{self.root}/{number}")

    def _view(self, lowers: list[str]) -> int:
        """An fd of the merged layers, mounted nowhere."""
        return self._stack(lowers)

    def _stack(self, lowers: list[str], upper: str | None = None, work: str | None = None) -> int:
        """A detached mount of layers, nearest first: the fd can be opened below, or attached with move_mount."""
        if len(lowers) < (1 if upper else 2):  # overlayfs wants a lower layer, and two where nothing is written
            lowers = [*lowers, self._empty()]
        try:
            return _new_stack(lowers, upper, work)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
        return _old_stack(self.root, lowers, upper, work)

    def _empty(self) -> str:
        path = f"{self.root}/empty"
        os.makedirs(path, 0o755, exist_ok=True)
        return path

    def _measure(self, info: SnapshotInfo) -> Usage:
        return measure(f"{self.path(info)}/diff")

    def changes(self, key: str) -> list[Change]:
        lowers = self.lowers(key)
        old = self._view(lowers) if lowers else None
        new = os.open(f"{self.path(self.stat(key))}/diff", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return Comparison(new, old, overlay=True, markers=self.markers).run()
        finally:
            os.close(new)
            if old is not None:
                os.close(old)

    def diff(self, key: str) -> Iterator[bytes]:
        fd = os.open(f"{self.path(self.stat(key))}/diff", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield from overlay_layer(fd)
        finally:
            os.close(fd)


def _copy_root_mode(source: str, target: str) -> None:
    """The root directory of a layer that says nothing about it looks like its parent's (an upper hides the lower's)."""
    found = os.stat(source)
    os.chown(target, found.st_uid, found.st_gid)
    os.chmod(target, found.st_mode & 0o7777)
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def _new_stack(lowers: list[str], upper: str | None, work: str | None) -> int:
    context = fsopen("overlay")
    held: list[int] = []
    try:
        fsconfig_string(context, "source", "overlay")
        for lower in lowers:
            fsconfig_string(context, "lowerdir+", _short(lower, held))
        if upper is not None and work is not None:
            fsconfig_string(context, "upperdir", _short(upper, held))
            fsconfig_string(context, "workdir", _short(work, held))
        for key, value in _OPTIONS:
            fsconfig_string(context, key, value)
        fsconfig_create(context)
        return fsmount(context)
    finally:
        for fd in (*held, context):
            os.close(fd)


def _short(path: str, held: list[int]) -> str:
    if len(os.fsencode(path)) <= _STRING_LIMIT:
        return path
    held.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    return f"/proc/self/fd/{held[-1]}"


def _old_stack(root: str, lowers: list[str], upper: str | None, work: str | None) -> int:
    """The same with mount(2) before Linux 6.5.

    Paths are relative to keep the options within one page. Both the working directory and the mount namespace are the
    thread's own, so no other thread notices and nothing is left behind when it ends but the detached copy.
    """
    options = [f"lowerdir={':'.join(os.path.relpath(lower, root) for lower in lowers)}"]
    if upper is not None and work is not None:
        options += [f"upperdir={os.path.relpath(upper, root)}", f"workdir={os.path.relpath(work, root)}"]
    options += [f"{key}={value}" for key, value in _OPTIONS]
    target = os.path.join(root, "empty")

    def make() -> int:
        unshare(CLONE_NEWNS)
        mount(None, "/", None, MS_REC | MS_PRIVATE)
        os.makedirs(target, exist_ok=True)
        os.chdir(root)
        mount("overlay", target, "overlay", 0, ",".join(options))
        return clone_tree(target, recursive=False)

    return in_thread(make)
