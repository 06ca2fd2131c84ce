"""Running containers' control groups. The calls wait on the kernel, so they run in a thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..linux.cgroup import Cgroup
from .config import DEFAULT_CGROUP_PARENT
from .container import Container

if TYPE_CHECKING:  # the engine takes its cgroup parent from here
    from .engine import Engine


def path(engine: Engine, container: Container) -> str:
    """Where the container's group goes, below every hierarchy."""
    parent = container.host_config.cgroup_parent or engine.config.container.cgroup_parent or DEFAULT_CGROUP_PARENT
    return f"/{parent.strip('/')}/{container.id}"


def of(engine: Engine, container: Container) -> Cgroup:
    """The group of a running container."""
    return Cgroup(container.cgroup or path(engine, container))


async def freeze(engine: Engine, container: Container) -> None:
    """Stop all its processes; OSError when they do not stop in time."""
    await asyncio.to_thread(of(engine, container).freeze)


async def thaw(engine: Engine, container: Container) -> None:
    """Let them go on."""
    await asyncio.to_thread(of(engine, container).thaw)


async def destroy(engine: Engine, container: Container) -> None:
    """Kill what is left in the group and remove it; for containers whose shim is gone."""
    group = of(engine, container)
    if group.exists():
        await asyncio.to_thread(_destroy, group)


def _destroy(group: Cgroup) -> None:
    group.kill()
    group.remove()
