"""Snapshots: layers and containers' file trees, behind one interface with several drivers."""

from __future__ import annotations

from sampan.db import Database
from sampan.errors import InvalidArgument
from sampan.tree.entry import Limits
from sampan.tree.extract import Usage

from .btrfs import Btrfs
from .changes import whole_tree, whole_trees
from .fuse import FuseOverlay
from .idmapped import Mapper
from .initlayer import init_layer
from .layers import Layers
from .overlay import Overlay
from .snapshotter import ADDED, DELETED, MODIFIED, Change, Problem, SnapshotInfo, Snapshotter
from .unpack import Unpacking, sweep, unpack
from .vfs import Vfs

DRIVERS: dict[str, type[Layers]] = {driver.name: driver for driver in (Overlay, Btrfs, FuseOverlay, Vfs)}


def open_snapshotter(name: str, root: str, db: Database) -> Layers:
    """The driver `name` with its snapshots below `<root>/<name>/`, reconciled with what a crash may have left.

    Raises InvalidArgument for an unknown driver or a root that cannot be ours.
    """
    driver = DRIVERS.get(name)
    if driver is None:
        raise InvalidArgument(f"driver not supported: {name}")
    snapshotter = driver(root, db)
    sweep(snapshotter)
    snapshotter.check(repair=True)
    return snapshotter


__all__ = [
    "ADDED", "DELETED", "DRIVERS", "MODIFIED", "Change", "Layers", "Limits", "Mapper", "Problem", "SnapshotInfo",
    "Snapshotter", "Unpacking", "Usage", "init_layer", "open_snapshotter", "sweep", "unpack", "whole_tree",
    "whole_trees",
]  # fmt: skip
