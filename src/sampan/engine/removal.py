"""The last steps of a container: shared by `rm` and auto-remove."""

from __future__ import annotations

import os

from .. import faults
from ..errors import SampanError
from ..tree.remove import remove as remove_tree
from . import mounts
from .container import Container
from .engine import Engine
from .live import WaitResult
from .naming import is_id


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
    await _remove_volumes(engine, container, volumes=volumes)
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


async def _remove_volumes(engine: Engine, container: Container, *, volumes: bool) -> None:
    try:
        await mounts.remove(engine, container, volumes=volumes)
    except (SampanError, OSError) as error:
        engine.warn(f"container {container.id}: cannot remove its volumes: {error}")


def remove_directory(engine: Engine, container_id: str) -> None:
    """Delete the container's own directories; only ever names below our roots that are a full id (S29)."""
    if not is_id(container_id):
        raise SampanError(f"not a container id: {container_id}")
    _remove_tree(engine, engine.paths.containers, container_id)
    remove_shim_directory(engine, container_id)


def remove_shim_directory(engine: Engine, container_id: str) -> None:
    """What a killed shim left: its socket would keep the next one from listening."""
    _remove_tree(engine, engine.paths.shims, container_id)


def _remove_tree(engine: Engine, parent: str, name: str) -> None:
    try:
        fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            remove_tree(fd, name)
        finally:
            os.close(fd)
    except (SampanError, OSError) as error:
        engine.warn(f"cannot remove {parent}/{name}: {error}")  # the next start tries again
