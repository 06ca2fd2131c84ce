"""What a daemon that was killed leaves of work without a record of its own: builds, bootstraps, half-made containers.

Collected at start (docs/recovery.md), before anything new is made.
"""

from __future__ import annotations

import asyncio
import os

from ..errors import NotFound, SampanError
from ..linux import mountinfo
from ..linux.mount import MNT_DETACH, umount2
from ..rpc import files
from ..runtime import Shim, ShimGone
from ..tree.remove import remove as remove_tree
from . import removal
from .engine import Engine
from .naming import is_id

SHIM_SECONDS = 5.0
"""How long a shim may take to answer, or to end: start-up never hangs on one."""


async def collect(engine: Engine) -> None:
    """End, unmount and remove whatever belongs to no container; what resists is a warning."""
    kept = {*engine.containers.unreadable, *(container.id for container in engine.containers)}
    names = {name for root in (engine.paths.containers, engine.paths.shims) for name in os.listdir(root)}
    for name in sorted(names - kept):
        if is_id(name):
            await _end(engine, name)
            removal.remove_directory(engine, name)
    engine.store.sweep()
    _unmount_below(engine, engine.paths.tmp)
    for directory in (engine.paths.tmp, f"{engine.paths.exec_root}/builds"):
        _remove_directories(engine, directory)
    _remove_layers(engine, kept)


async def _end(engine: Engine, name: str) -> None:
    """The shim of a container that has no row, or of a build's step, with its processes and cgroup."""
    try:
        async with asyncio.timeout(SHIM_SECONDS):
            shim = await Shim.connect(f"{engine.paths.shim(name)}/{files.SOCKET}")
            try:
                await shim.close()
            finally:
                shim.disconnect()
    except (NotFound, ShimGone):
        return
    except TimeoutError:
        engine.warnings.append(f"shim {name}: does not end")


def _unmount_below(engine: Engine, directory: str) -> None:
    for place in reversed(mountinfo.places()):  # the last mounted first
        if place.startswith(f"{directory}/"):
            try:
                umount2(place, MNT_DETACH)
            except OSError as error:
                engine.warnings.append(f"cannot unmount {place}: {error}")


def _remove_directories(engine: Engine, parent: str) -> None:
    """Directories only: half-written files are the store's, which knows which of them a download goes on with."""
    if not os.path.isdir(parent):
        return
    fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for entry in list(os.scandir(fd)):
            if entry.is_dir(follow_symlinks=False):
                remove_tree(fd, entry.name)
    except (SampanError, OSError) as error:
        engine.warnings.append(f"cannot empty {parent}: {error}")
    finally:
        os.close(fd)


def _remove_layers(engine: Engine, kept: set[str]) -> None:
    for info in list(engine.snapshots.walk()):
        if not info.committed and info.key not in kept and (is_id(info.key) or info.key.startswith("build-")):
            try:
                engine.snapshots.remove(info.key)
            except (SampanError, OSError) as error:
                engine.warnings.append(f"layer {info.key}: cannot be removed: {error}")
