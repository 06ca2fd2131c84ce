"""How the parts of an engine are made from its configuration."""

from __future__ import annotations

import asyncio
import os
import posixpath

from ..db import Database
from ..errors import InvalidArgument, SampanError
from ..linux.cgroup import Cgroup
from ..linux.cgroup.scope import slice_path
from ..paths import Paths
from ..storage import Layers, Mapper, open_snapshotter
from .config import DEFAULT_CGROUP_PARENT, SYSTEMD, EngineConfig
from .drivers import check_storage_options
from .kernel import Kernel

DRIVERS = ("overlay2", "fuse-overlayfs", "btrfs", "vfs")
"""Tried in this order where none is named."""
SHIMS_LOOKS = 50
SCOPE_PREFIX = "sampan"


def make_roots(paths: Paths) -> None:
    """The directories that everything else stands in."""
    for path in (paths.data_root, paths.exec_root, paths.containers, paths.snapshots, paths.tmp, paths.shims):
        # Other users may pass through to nothing below: they neither list nor read (S18).
        os.makedirs(path, mode=0o710, exist_ok=True)
        os.chmod(path, 0o710)


def open_snapshots(config: EngineConfig, db: Database) -> Layers:
    """The configured storage driver, or the one that already has layers, or the best; ready for mapped ids."""
    layers = _open_driver(config, db)
    check_storage_options(layers, config.storage_opts)
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


def cgroup_name(config: EngineConfig, parent: str, identity: str) -> str:
    """The name (`cgroup.named`) of the group of a container or build step, which may ask for a parent itself."""
    parent = parent or config.container.cgroup_parent
    if config.cgroup_driver == SYSTEMD:
        return f"{parent}:{SCOPE_PREFIX}:{identity}"
    return posixpath.join(posixpath.normpath(f"/{(parent or DEFAULT_CGROUP_PARENT).strip('/')}"), identity)


def pids_limit(config: EngineConfig, kernel: Kernel) -> int:
    """The number of processes of a container that names none: the machine keeps half of its own."""
    return min(config.container.pids_limit, kernel.tasks // 2)


def check_cgroup_parent(driver: str, parent: str) -> None:
    """InvalidArgument in Docker's words where systemd could not have such a parent."""
    if driver != SYSTEMD or not parent:
        return
    if not parent.endswith(".slice") or len(parent) <= len(".slice"):
        raise InvalidArgument('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"')
    try:
        slice_path(parent)
    except ValueError as error:
        raise InvalidArgument(str(error)) from error


def shims_parent(config: EngineConfig) -> str:
    """Below which shims have groups; with systemd they stay where the daemon is, in the group of its unit."""
    return "" if config.cgroup_driver == SYSTEMD else config.container.cgroup_parent or DEFAULT_CGROUP_PARENT


async def drop_shims_group(config: EngineConfig) -> None:
    """Remove the group of zygote and shims once nobody is in it; the zygote cannot, it sits in it itself.

    Parked shims end just after their zygote (v1 tells nobody when a group empties, hence the looks).
    """
    if not shims_parent(config):
        return
    group = Cgroup(f"{shims_parent(config)}/shims")
    for _ in range(SHIMS_LOOKS):
        for directory in group.directories.values():
            try:
                os.rmdir(directory)
            except OSError:
                continue  # not yet empty, or never made
        if not any(map(os.path.exists, group.directories.values())):  # each hierarchy empties in its own time
            return
        await asyncio.sleep(0.02)
