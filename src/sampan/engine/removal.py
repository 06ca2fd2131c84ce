"""The last steps of a container: shared by `rm` and auto-remove."""

from __future__ import annotations

import os
import shutil

from .. import faults
from ..errors import SampanError
from . import mounts
from .container import Container
from .engine import Engine
from .live import WaitResult


async def finish(engine: Engine, container: Container, *, volumes: bool) -> None:
    """Forget a container that does not run; the caller holds its lock.

    The row goes first: what is left of its files after a crash is garbage that start-up collects.
    """
    live = engine.live(container)
    live.removing = True
    live.cancel_restart()
    live.drop_pending()
    engine.container_event(container, "destroy")
    with engine.db.transaction():
        engine.containers.forget(container)
        engine.events.flush()
        _remove_layer(engine, container)
    faults.point("engine.remove.forgotten")
    _remove_volumes(engine, container, volumes=volumes)
    remove_directory(engine, container.id)
    for exec_id in live.execs:
        engine.execs.pop(exec_id, None)
    live.resolve("removed", "next-exit", "not-running", result=WaitResult(container.state.exit_code))
    engine.drop_live(container)


def _remove_layer(engine: Engine, container: Container) -> None:
    try:
        engine.snapshots.remove(container.id)
    except (SampanError, OSError) as error:
        engine.warn(f"container {container.id}: cannot remove its layer yet: {error}")


def _remove_volumes(engine: Engine, container: Container, *, volumes: bool) -> None:
    try:
        mounts.remove(engine, container, volumes=volumes)
    except (SampanError, OSError) as error:
        engine.warn(f"container {container.id}: cannot remove its volumes: {error}")


def remove_directory(engine: Engine, container_id: str) -> None:
    """Delete the container's own directories; only ever paths below our roots that end in a full id (S29)."""
    if len(container_id) != 64 or not container_id.isalnum():
        raise SampanError(f"not a container id: {container_id}")
    _remove_tree(engine, engine.paths.container(container_id))
    remove_shim_directory(engine, container_id)


def remove_shim_directory(engine: Engine, container_id: str) -> None:
    """What a killed shim left: its socket would keep the next one from listening."""
    _remove_tree(engine, engine.paths.shim(container_id))


def _remove_tree(engine: Engine, path: str) -> None:
    if os.path.islink(path) or os.path.ismount(path):
        engine.warn(f"not removed, it is not a plain directory: {path}")
    elif os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
