"""`info`: what the engine is and has, beside the facts of the machine in `info`."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from ..linux import mountinfo

if TYPE_CHECKING:
    from .engine import Engine

NETWORK_DRIVERS: Final = ("bridge", "host", "ipvlan", "macvlan", "null", "overlay")
LOG_DRIVERS: Final = ("fluentd", "gelf", "journald", "json-file", "local", "none", "syslog")


class Counts(Struct, frozen=True):
    """How many containers there are, by state."""

    total: int
    running: int
    paused: int

    @property
    def stopped(self) -> int:
        return self.total - self.running - self.paused


def count(engine: Engine) -> Counts:
    """Containers by state; a paused one is not counted as running."""
    states = [container.state.status for container in engine.containers]
    return Counts(len(states), states.count("running"), states.count("paused"))


def engine_id(engine: Engine) -> str:
    """A UUID that this data root keeps for ever."""
    path = f"{engine.paths.data_root}/engine-id"
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        made = str(uuid.uuid4())
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write(f"{made}\n")
        os.rename(f"{path}.new", path)
        return made


def driver_status(engine: Engine) -> list[list[str]]:
    """What `info` says about the storage driver, in Docker's words."""
    kind = file_system(engine.paths.data_root)
    backing = {"ext2": "extfs", "ext3": "extfs", "ext4": "extfs"}.get(kind, kind)
    rows = [["Backing Filesystem", backing]]
    if engine.snapshots.name == "overlay2":
        rows += [["Supports d_type", "true"], ["Using metacopy", "false"], ["Native Overlay Diff", "true"]]
        rows += [["userxattr", "false"]]
    return rows


def file_system(path: str) -> str:
    """The type of the file system that a path lies on, as the kernel names it."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    return next((mount.kind for mount in mountinfo.mounts() if mount.device == wanted), "unknown")


def host_name(engine: Engine) -> str:
    """The name in the configuration, else the kernel's."""
    return engine.config.name or os.uname().nodename
