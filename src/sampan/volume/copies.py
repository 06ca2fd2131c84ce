"""Beyond Docker: rename, copy, snapshot, restore, export and import of volumes, and their size limits.

All of it may run in a thread but `rename` and what names a row. Copies are complete or absent: they are made beside
their place, synced and renamed into it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sampan import faults
from sampan.errors import Conflict, InvalidArgument, NotFound
from sampan.linux.libc import exchange, syncfs
from sampan.tree.copy import copy_tree
from sampan.tree.directories import Directories
from sampan.tree.entry import Limits
from sampan.tree.extract import ExtractOptions, extract
from sampan.tree.reader import Readable
from sampan.tree.remove import remove, remove_contents
from sampan.tree.walk import Node, walk
from sampan.tree.writer import Members, gather

from .local import Local, check_name
from .volume import Volume

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
SNAPSHOTS = "_snapshots"


@contextmanager
def opened(path: str) -> Iterator[int]:
    """An open directory."""
    fd = os.open(path, _DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


def require_local(volume: Volume) -> None:
    """Only what lies in our own directory can be renamed or kept as a snapshot."""
    if volume.driver != "local" or (volume.options and "device" in volume.options):
        raise InvalidArgument(f"volume {volume.name} is not a plain local volume")


def copy_contents(source: str, target: str) -> None:
    """Everything in one directory into another, empty one; durable when it returns."""
    with opened(source) as origin, opened(target) as destination:
        if os.listdir(destination):
            raise Conflict(f"{target} is not empty")
        copy_tree(origin, destination)
        syncfs(destination)


def snapshot(local: Local, volume: Volume, name: str) -> str:
    """Keep the volume's present state under `name`; the path. Writers should be paused for a consistent state."""
    require_local(volume)
    check_name(name)
    home = f"{local.root}/{volume.name}/{SNAPSHOTS}"
    os.makedirs(home, 0o700, exist_ok=True)
    if os.path.exists(f"{home}/{name}"):
        raise Conflict(f"snapshot {name} of volume {volume.name} exists")
    with opened(home) as fd:
        remove(fd, f".{name}")
    os.mkdir(f"{home}/.{name}", 0o700)
    copy_contents(volume.mountpoint, f"{home}/.{name}")
    faults.point("volume.snapshot.copied")
    os.rename(f"{home}/.{name}", f"{home}/{name}")
    return f"{home}/{name}"


def snapshots(local: Local, volume: Volume) -> list[str]:
    """The names of a volume's snapshots."""
    home = f"{local.root}/{volume.name}/{SNAPSHOTS}"
    return sorted(name for name in os.listdir(home) if not name.startswith(".")) if os.path.isdir(home) else []


def _snapshot_path(local: Local, volume: Volume, name: str) -> str:
    if name not in snapshots(local, volume):
        raise NotFound(f"no such snapshot: {name}")
    return f"{local.root}/{volume.name}/{SNAPSHOTS}/{name}"


def remove_snapshot(local: Local, volume: Volume, name: str) -> None:
    """Drop a snapshot."""
    path = _snapshot_path(local, volume, name)
    with opened(os.path.dirname(path)) as fd:
        remove(fd, name)


def restore(local: Local, volume: Volume, name: str) -> None:
    """Put a volume back to a snapshot's state. It must not be in use: the caller has checked."""
    source = _snapshot_path(local, volume, name)
    home = f"{local.root}/{volume.name}"
    if volume.options and "size" in volume.options:
        with opened(volume.mountpoint) as fd:
            remove_contents(fd)
        copy_contents(source, volume.mountpoint)
        return
    with opened(home) as fd:
        remove(fd, "_new")
        os.mkdir("_new", 0o700, dir_fd=fd)
        copy_contents(source, f"{home}/_new")
        faults.point("volume.restore.copied")
        exchange(fd, "_new", "_data")
        faults.point("volume.restore.exchanged")
        remove(fd, "_new")


def export(path: str) -> Iterator[bytes]:
    """A volume's data as a tar, `./` first so that the owner of the root travels."""
    with opened(path) as root, Directories(root) as directories:
        members = Members()
        yield from gather(_export(directories, members))


def _export(directories: Directories, members: Members) -> Iterator[bytes]:
    root = directories.root
    yield from members.member(Node("", root, ".", os.stat(root)), ".")
    for node in walk(directories):
        yield from members.member(node, f"./{node.path}")


def import_tar(path: str, stream: Readable, limits: Limits | None = None) -> None:
    """Extract a tar into a volume, confined, over what is there."""
    with opened(path) as root:
        extract(root, stream, ExtractOptions(own_root=True), limits)
        syncfs(root)
