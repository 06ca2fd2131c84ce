"""How the parts of an engine are made from its configuration."""

from __future__ import annotations

import asyncio
import os

from ..db import Database
from ..errors import SampanError
from ..linux.cgroup import Cgroup
from ..paths import Paths
from ..storage import Layers, Mapper, open_snapshotter
from .config import DEFAULT_CGROUP_PARENT, EngineConfig

DRIVERS = ("overlay2", "fuse-overlayfs", "btrfs", "vfs")
"""Tried in this order where none is named."""
SHIMS_LOOKS = 50


def make_roots(paths: Paths) -> None:
    """The directories that everything else stands in."""
    for path in (paths.data_root, paths.exec_root, paths.containers, paths.snapshots, paths.tmp, paths.shims):
        # Other users may pass through to nothing below: they neither list nor read (S18).
        os.makedirs(path, mode=0o710, exist_ok=True)
        os.chmod(path, 0o710)


def open_snapshots(config: EngineConfig, db: Database) -> Layers:
    """The configured storage driver, or the one that already has layers, or the best; ready for mapped ids."""
    layers = _open_driver(config, db)
    if config.id_map is not None:
        layers.map_ids(Mapper(config.id_map))
    return layers


def _open_driver(config: EngineConfig, db: Database) -> Layers:
    root = config.paths.snapshots
    if config.storage_driver:
        return open_snapshotter(config.storage_driver, root, db)
    row = db.one("SELECT driver, count(*) AS number FROM snapshot GROUP BY driver ORDER BY number DESC")
    candidates = (row["driver"],) if row is not None else DRIVERS
    failures = []
    for name in candidates:
        try:
            return open_snapshotter(name, root, db)
        except (SampanError, OSError) as error:
            failures.append(f"{name}: {error}")
    raise SampanError(f"no storage driver works: {'; '.join(failures)}")


def owner(config: EngineConfig) -> tuple[int, int]:
    """The host's ids of root in containers: what a new volume belongs to."""
    return config.id_map.root if config.id_map else (0, 0)


def cgroup_parent(config: EngineConfig) -> str:
    """The group below which containers' groups are made."""
    return config.container.cgroup_parent or DEFAULT_CGROUP_PARENT


async def drop_shims_group(config: EngineConfig) -> None:
    """Remove the group of zygote and shims once nobody is in it; the zygote cannot, it sits in it itself.

    Parked shims end just after their zygote (v1 tells nobody when a group empties, hence the looks).
    """
    group = Cgroup(f"{cgroup_parent(config)}/shims")
    for _ in range(SHIMS_LOOKS):
        for directory in group.directories.values():
            try:
                os.rmdir(directory)
            except OSError:
                continue  # not yet empty, or never made
        if not any(map(os.path.exists, group.directories.values())):  # each hierarchy empties in its own time
            return
        await asyncio.sleep(0.02)
