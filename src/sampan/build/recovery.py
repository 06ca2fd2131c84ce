"""What a daemon that was killed in the middle of a build left behind, and its end.

    <exec_root>/builds/<id>/   a step: `cgroup` names its control group, overlays may be mounted below
    <data_root>/tmp/           checkouts, contexts that steps mounted
    snapshots `build-…`        trees that never became layers

The network is the engine's: it detaches whatever has no owner.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time

from ..engine.engine import Engine
from ..errors import SampanError
from ..linux import mountinfo
from ..linux.cgroup import named
from ..linux.mount import MNT_DETACH, umount2
from .removing import remove_tree

PREFIX = "build-"
_TRIES, _PAUSE = 100, 0.02


async def recover(engine: Engine) -> None:
    """Kill steps, unmount and remove what belongs to no build; before the first build begins."""
    steps = f"{engine.paths.exec_root}/builds"
    names = os.listdir(steps) if os.path.isdir(steps) else []
    for name in names:
        await asyncio.to_thread(_kill, f"{steps}/{name}/cgroup")
    left = [f"{engine.paths.tmp}/{name}" for name in os.listdir(engine.paths.tmp) if name.startswith(PREFIX)]
    left += [f"{steps}/{name}" for name in names]
    await asyncio.to_thread(_clear, left)
    for info in list(engine.snapshots.walk()):
        if not info.committed and info.key.startswith("build-"):
            try:
                engine.snapshots.remove(info.key)
            except (SampanError, OSError) as error:
                engine.warnings.append(f"layer {info.key}: cannot be removed: {error}")


def _kill(path: str) -> None:
    try:
        with open(path) as file:
            group = named(file.read())
    except FileNotFoundError:
        return  # it was killed before it ran anything
    if group.exists():
        group.kill()
        group.remove()


def _clear(paths: list[str]) -> None:
    mounted = mountinfo.places()[::-1]  # the last mounted first
    for path in paths:
        for place in mounted:
            if place == path or place.startswith(f"{path}/"):
                umount2(place, MNT_DETACH)
        _remove(path)


def _remove(path: str) -> None:
    for _ in range(_TRIES):
        try:
            remove_tree(path)
            return
        except OSError as error:
            # the orphaned shim still writes how its process ended, and removes its socket
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
            time.sleep(_PAUSE)
    remove_tree(path)
