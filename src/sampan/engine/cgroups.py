"""Running containers' control groups. The calls wait on the kernel, so they run in a thread."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..linux.cgroup import Cgroup, named
from . import parts
from .container import Container

if TYPE_CHECKING:
    from .engine import Engine


def name(engine: Engine, container: Container) -> str:
    """The name of the container's group, for `named`."""
    return parts.cgroup_name(engine.config, container.host_config.cgroup_parent, container.id)


def of(engine: Engine, container: Container) -> Cgroup:
    """The group of a running container."""
    return named(container.cgroup or name(engine, container))


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
