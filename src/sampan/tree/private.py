"""A container's tree as the engine looks at it: with its volumes, in a mount namespace that nobody else sees.

A thread makes a mount namespace of its own (unshare(2) allows that in a process with threads, unlike a user
namespace), binds the volumes and ends. The namespace lives on through an fd: closing it undoes everything, and so does
the death of the process. Nothing of the container's runs and nothing that the container mounted itself is looked at:
its own FUSE file system could hang us.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import TracebackType

from msgspec import Struct

from sampan.linux.credentials import file_system_ids
from sampan.linux.mount import MS_BIND, MS_PRIVATE, MS_RDONLY, MS_REC, MS_REMOUNT, mount
from sampan.linux.namespaces import CLONE_NEWNS, unshare
from sampan.linux.openat2 import make_directories, make_file, open_in_root
from sampan.model.idmap import IdMap


class Bind(Struct, frozen=True):
    """A directory or file of the host's to be seen at `destination` in the tree.

    `subpath` lies below `source`, in a volume that containers write to: no link of it leads out (S06).
    """

    source: str
    destination: str
    writable: bool = True
    subpath: str = ""


class PrivateTree:
    """An open tree; `fd` is its root. Close it, from any thread."""

    def __init__(self, root: str, binds: Sequence[Bind], ids: IdMap | None = None) -> None:
        """`ids`: the map that the owners in `root` have been through."""
        self._namespace = -1
        self.fd = in_thread(lambda: self._open(root, binds, ids))

    def _open(self, root: str, binds: Sequence[Bind], ids: IdMap | None) -> int:
        unshare(CLONE_NEWNS)
        mount(None, "/", None, MS_REC | MS_PRIVATE)
        fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for bind in binds:
                _attach(fd, bind, ids)
            self._namespace = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def close(self) -> None:
        """Let the namespace and its mounts go."""
        for fd in (self.fd, self._namespace):
            if fd >= 0:
                os.close(fd)
        self.fd = self._namespace = -1

    def __enter__(self) -> PrivateTree:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _attach(root: int, bind: Bind, ids: IdMap | None) -> None:
    try:
        source = _source(bind)
    except (FileNotFoundError, NotADirectoryError):
        return  # a bind whose source is gone; the container could not start either
    try:
        with file_system_ids(*ids.root) if ids else nullcontext():
            target = _target(root, bind.destination, stat.S_ISDIR(os.fstat(source).st_mode))
        try:
            mount(f"/proc/self/fd/{source}", f"/proc/self/fd/{target}", None, MS_BIND)
        finally:
            os.close(target)
    finally:
        os.close(source)
    if not bind.writable:
        covered = open_in_root(root, bind.destination)
        try:
            mount(None, f"/proc/self/fd/{covered}", None, MS_BIND | MS_REMOUNT | MS_RDONLY)
        finally:
            os.close(covered)


def _source(bind: Bind) -> int:
    fd = os.open(bind.source, os.O_PATH | os.O_CLOEXEC)
    if not bind.subpath:
        return fd
    try:
        return open_in_root(fd, bind.subpath)
    finally:
        os.close(fd)


def _target(root: int, destination: str, is_directory: bool) -> int:
    return make_directories(root, destination) if is_directory else make_file(root, destination)


def in_thread(work: Callable[[], int]) -> int:
    """Run `work` in a thread of its own, which may unshare what it likes; its result, or its error."""
    outcome: list[int | Exception] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # noqa: BLE001 (raised again in the caller's thread)
            outcome.append(error)

    thread = threading.Thread(target=run, name="mount")
    thread.start()
    thread.join()
    if not outcome:
        raise OSError(errno.EIO, "mount thread died")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]
