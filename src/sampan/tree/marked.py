"""Deleting below the data root, and nowhere else (S29).

A storage engine once removed a user's home directory because its root had been configured wrongly. So every root
carries a marker that only we write, only plain names directly below it are ever removed, and a root that is `/`, a
home, the working directory or full of other things is refused before it is marked.
"""

from __future__ import annotations

import os

from sampan.errors import Conflict, InvalidArgument

from .inodeflags import spread_children
from .remove import remove

ROOT_MARKER = ".sampan"
_TEXT = "This directory belongs to Sampan; `sampan` commands change it, nothing else should.\n"


def mark_root(root: str) -> None:
    """Make a root ours: it is new, empty, or already marked. Raises InvalidArgument for a place that cannot be."""
    real = os.path.realpath(root)
    if real in ("/", os.path.expanduser("~"), os.getcwd()):
        raise InvalidArgument(f"{root} cannot be a storage root")
    os.makedirs(root, mode=0o710, exist_ok=True)
    marker = f"{root}/{ROOT_MARKER}"
    if not os.path.exists(marker):
        if os.listdir(root):
            raise InvalidArgument(f"{root} is not empty and not a storage root of this engine")
        os.chmod(root, 0o710)
        with open(marker, "w") as file:
            file.write(_TEXT)
    spread_children(root)


def remove_marked(root: str, name: str) -> None:
    """Remove `<root>/<name>`: the root has our marker, the name is plain, nothing is mounted there."""
    if not name or "/" in name or name.startswith("."):
        raise InvalidArgument(f"{name!r} is not a name below {root}")
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _require_marker(fd, root)
        try:
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        if found.st_dev != os.fstat(fd).st_dev:
            raise Conflict(f"{root}/{name} is a mount point")
        remove(fd, name)
    finally:
        os.close(fd)


def _require_marker(fd: int, root: str) -> None:
    try:
        os.stat(ROOT_MARKER, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        raise InvalidArgument(f"{root} does not carry the marker {ROOT_MARKER}") from None
