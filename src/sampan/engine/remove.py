"""`docker rm`."""

from __future__ import annotations

from ..errors import Conflict, NotFound, SampanError
from . import kill, removal
from .container import Container
from .engine import Engine

_REFUSALS = {
    "running": "container is running: stop the container before removing or force remove",
    "paused": "container is paused and must be unpaused first",
    "restarting": "container is restarting: stop the container before removing or force remove",
}


async def remove(engine: Engine, ref: str, *, force: bool = False, volumes: bool = False, link: bool = False) -> None:
    """Remove a container; `force` kills it first, `volumes` takes its anonymous volumes with it.

    Conflict while it runs, or when another removal is under way.
    """
    container = engine.containers.get(ref)
    if link:
        _remove_link(engine, ref)
        return
    live = engine.live(container)
    if live.removing:
        raise Conflict(f"removal of container {ref} is already in progress")
    if not force and container.state.status in _REFUSALS:
        raise _refusal(container, ref)
    live.removing = True
    try:
        while not await _removed(engine, container, ref, force=force, volumes=volumes):
            pass
    except BaseException:
        live.removing = False
        raise


async def _removed(engine: Engine, container: Container, ref: str, *, force: bool, volumes: bool) -> bool:
    """One try; False when a start that was under way came first, after which there can be no other."""
    live = engine.live(container)
    live.cancel_restart()
    if container.running and force:
        await kill.kill_and_wait(engine, container)
    async with live.lock:
        if container.id not in engine.containers:
            raise NotFound(f"No such container: {ref}")
        if container.running and live.shim is not None:
            if force:
                return False
            raise _refusal(container, ref)
        await removal.finish(engine, container, volumes=volumes)
        return True


def _refusal(container: Container, ref: str) -> Conflict:
    return Conflict(f'cannot remove container "{ref.removeprefix("/")}": {_REFUSALS[container.state.status]}')


def _remove_link(engine: Engine, ref: str) -> None:
    parent, _, alias = ref.removeprefix("/").rpartition("/")
    if not parent:
        raise SampanError("Conflict, cannot remove the default link name of the container")
    container = engine.containers.get(parent)
    links = container.host_config.links or []
    container.host_config.links = [link for link in links if link.rpartition(":")[2] != alias] or None
    engine.containers.save(container)
