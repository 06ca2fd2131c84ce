"""Copies of what the database holds, from which a lost one is rebuilt (S31): each container's record beside its files,
and the images' names in the blob store's index.json (imageindex.py).

A record is written when the configuration changes and when a user stops it, which `unless-stopped` goes by; not at
every change of state: what a container is doing is found out anew.
"""

from __future__ import annotations

import os

import msgspec

from ..image import layoutindex
from ..model.state import ContainerState
from ..model.times import rfc3339
from ..runtime import read_exit
from .container import Container
from .engine import Engine

FILE = "container.json"


def keep(engine: Engine, container: Container) -> None:
    """Write the copy; not durable by itself, the database is."""
    path = f"{engine.paths.container(container.id)}/{FILE}"
    with open(f"{path}.tmp", "wb") as file:
        file.write(msgspec.json.encode(container))
    os.rename(f"{path}.tmp", path)


def refresh(engine: Engine, container: Container) -> None:
    """The same where nothing may fail for it: a full disk keeps no container from being stopped."""
    try:
        keep(engine, container)
    except OSError as error:
        engine.warn(f"container {container.id}: cannot write the copy of its record: {error}")


def rebuild_images(engine: Engine) -> None:
    """Put back the images that index.json names."""
    done, failed = layoutindex.rebuild(engine.images)
    engine.warnings += [f"image {name}: rebuilt from index.json" for name in done]
    engine.warnings += [f"image {text}: cannot be rebuilt" for text in failed]


def rebuild(engine: Engine) -> None:
    """Put back the rows of containers whose directory has a readable copy; only for a database that was lost."""
    for container_id in sorted(os.listdir(engine.paths.containers)):
        container = _read(f"{engine.paths.containers}/{container_id}/{FILE}")
        if container is None or container.id != container_id or container.id in engine.containers:
            continue
        if engine.containers.named(container.name) is not None:
            container.name = container.id[:12]
        container.state = _state(f"{engine.paths.containers}/{container_id}", container.state.stopped_by_user)
        container.has_been_started = container.state.status == "exited"
        engine.containers.add(container)
        for point in container.mounts:
            if point.type == "volume" and point.driver != "local":  # local ones lie below our own root
                engine.volumes.take_in(point.name, point.driver, point.source)
        engine.warnings.append(f"container {container.id} ({container.name}): rebuilt from its copy")


def _state(directory: str, stopped_by_user: bool) -> ContainerState:
    """What its last run left; whether it runs now, a shim will tell."""
    ended = read_exit(directory)
    if ended is None:
        return ContainerState()
    return ContainerState(
        status="exited",
        stopped_by_user=stopped_by_user,
        exit_code=ended.status,
        oom_killed=ended.oom_killed,
        started_at=rfc3339(ended.started_at),
        finished_at=rfc3339(ended.finished_at),
    )


def _read(path: str) -> Container | None:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=Container)
    except (OSError, msgspec.DecodeError):
        return None  # no container's directory, or a torn copy: nothing to rebuild from
