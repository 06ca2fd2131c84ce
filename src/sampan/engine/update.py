"""`docker update`: resources and restart policy of a container, also while it runs."""

from __future__ import annotations

import asyncio

import msgspec

from ..errors import Conflict, InvalidArgument, SampanError
from ..model.container import DockerStruct, HostConfig, PortMap, RestartPolicy
from ..runtime import bundle
from . import cgroups, copies, networks, recreate, resources, validate
from .container import Container
from .engine import Engine
from .recreate import Changes


class UpdateRequest(DockerStruct):
    """The body of `POST /containers/{id}/update`: the resource fields of a HostConfig; zero and None leave as it is."""

    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    blkio_weight: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    memory_reservation: int = 0
    memory_swap: int = 0
    pids_limit: int | None = None
    restart_policy: RestartPolicy = RestartPolicy()
    publish_add: PortMap | None = None
    """Ours: container ports to publish, also while it runs."""
    publish_rm: list[str] | None = None
    """Ours: host ports to close, `8080` or `8080/udp`."""
    recreate: Changes | None = None
    """Ours: what takes a new container (recreate.py)."""


_OTHERS = ("restart_policy", "publish_add", "publish_rm", "recreate")
_EXCLUSIVE = (
    ("nano_cpus", "Nano CPUs", "cpu_period", "CPU Period"),
    ("nano_cpus", "Nano CPUs", "cpu_quota", "CPU Quota"),
    ("cpu_period", "CPU Period", "nano_cpus", "NanoCPUs"),
    ("cpu_quota", "CPU Quota", "nano_cpus", "NanoCPUs"),
)
"""What cannot be set where the other is."""
_SWAP_TOO = "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
"""Docker says so also where no swap is set, which counts as none."""
_LIMITS = tuple(name for name in UpdateRequest.__struct_fields__ if name not in _OTHERS)


async def update(engine: Engine, ref: str, request: UpdateRequest) -> list[str]:
    """Change limits and restart policy → warnings. The record is changed only when the kernel took the new limits."""
    container = engine.containers.get(ref)
    asked = HostConfig(**{name: getattr(request, name) for name in _LIMITS})
    warnings = resources.check(asked, engine.kernel, updating=True)
    validate.check_restart_policy(request.restart_policy)
    async with engine.live(container).lock:
        changed = _merged(container, asked)
        if request.restart_policy.name:
            _refuse_policy(container, request.restart_policy)
            changed.restart_policy = request.restart_policy
        if container.running:
            await _apply(engine, container, changed)
        container.host_config = changed
        engine.containers.save(container)
        copies.keep(engine, container)
    if request.publish_add or request.publish_rm:
        await networks.publish(engine, container.id, request.publish_add or {}, request.publish_rm or [])
    if request.recreate is not None:
        container = await recreate.recreate(engine, container.id, request.recreate)
    engine.container_event(container, "update")
    return warnings


def _cannot(container: Container, why: str) -> str:
    return f"Cannot update container {container.id}: {why}"


def _refuse_policy(container: Container, policy: RestartPolicy) -> None:
    if container.host_config.auto_remove and policy.name != "no":
        raise InvalidArgument(
            _cannot(container, "Restart policy cannot be updated because AutoRemove is enabled for the container")
        )


def _merged(container: Container, asked: HostConfig) -> HostConfig:
    changed = msgspec.structs.replace(container.host_config)
    for one, name, other, other_name in _EXCLUSIVE:
        if getattr(asked, one) > 0 and getattr(changed, other) > 0:
            why = f"Conflicting options: {name} cannot be updated as {other_name} has already been set"
            raise Conflict(_cannot(container, why))
    if asked.memory > max(0, changed.memory_swap) and not asked.memory_swap:
        raise Conflict(_cannot(container, _SWAP_TOO))
    for name in _LIMITS:
        value = getattr(asked, name)
        if value or (name == "pids_limit" and value is not None):
            setattr(changed, name, value)
    return changed


async def _apply(engine: Engine, container: Container, changed: HostConfig) -> None:
    limits = bundle.resources(changed)
    limits.pop("devices", None)
    try:
        await asyncio.to_thread(cgroups.of(engine, container).update, limits)
    except OSError as error:
        raise SampanError(_cannot(container, error.strerror or str(error))) from error
