"""The init layer: what every container needs in its tree to be mounted on, made once per image.

Without it these would be made in each container and show up in `docker diff` and `commit`.
"""

from __future__ import annotations

import os

from sampan.linux.openat2 import make_directories, make_file, open_in_root

from .layers import init_key
from .snapshotter import Snapshotter
from .unpack import UNFINISHED

_DIRECTORIES = ("dev/pts", "dev/shm", "proc", "sys")
_FILES = (".dockerenv", "etc/resolv.conf", "etc/hosts", "etc/hostname", "dev/console")
_LINKS = {"etc/mtab": "/proc/mounts"}


def init_layer(snapshotter: Snapshotter, parent: str | None) -> str | None:
    """The snapshot that a container of the image layer `parent` is to lie on; made at first use.

    A driver that copies whole trees has none: it would cost another copy.
    """
    key = init_key(parent)
    if snapshotter.exists(key):
        return key
    if snapshotter.copies_parents:
        return parent
    made = f"{UNFINISHED}{os.urandom(16).hex()}"
    snapshotter.prepare(made, parent)
    try:
        _fill(snapshotter.mount(made))
    except BaseException:
        snapshotter.unmount(made)
        snapshotter.remove(made)
        raise
    snapshotter.unmount(made)
    # Not worth a syncfs: what a power cut takes of it is made again in the container, as without it.
    snapshotter.commit(made, key, synced=True)
    return key


def _fill(path: str) -> None:
    root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in _DIRECTORIES:
            os.close(make_directories(root, name))
        for name in _FILES:
            os.close(make_file(root, name, 0o755))
        for name, target in _LINKS.items():
            _make_link(root, name, target)
    finally:
        os.close(root)


def _make_link(root: int, path: str, target: str) -> None:
    parent, _, name = path.rpartition("/")
    directory = open_in_root(root, parent, os.O_PATH | os.O_DIRECTORY)
    try:
        os.symlink(target, name, dir_fd=directory)
    except FileExistsError:
        pass  # the image has its own
    finally:
        os.close(directory)
