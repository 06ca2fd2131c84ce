"""`docker stats`: figures from the cgroup and from the network namespace's counters, read, never polled in between."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from ..linux.cgroup.stats import CgroupStat
from ..model.times import now
from . import cgroups, info
from .container import Container
from .engine import Engine

INTERVAL_SECONDS = 1.0
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class LinkStat:
    """One network link's counters since it was made."""

    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


@dataclass(frozen=True)
class Sample:
    """One reading. `read` is RFC 3339; `cgroup` is None when the container does not run.

    `system_cpu_ns` is the whole machine's CPU time, `memory_total` its memory: the limits where a container has none.
    """

    id: str
    name: str
    read: str
    cgroup: CgroupStat | None = None
    system_cpu_ns: int = 0
    online_cpus: int = 0
    memory_total: int = 0
    links: dict[str, LinkStat] = field(default_factory=dict)


async def sample(engine: Engine, ref: str, one_shot: bool = True) -> tuple[Sample | None, Sample]:
    """(the one before, the present reading); with `one_shot` there is none before and the answer comes at once."""
    container = engine.containers.get(ref)
    first = read(engine, container)
    if one_shot or first.cgroup is None:
        return None, first
    await asyncio.sleep(INTERVAL_SECONDS)
    return first, read(engine, container)


async def stream(engine: Engine, ref: str) -> AsyncIterator[Sample]:
    """A reading a second until the container is removed; one that is stopped gives empty ones."""
    container = engine.containers.get(ref)
    while container.id in engine.containers:
        yield read(engine, container)
        await asyncio.sleep(INTERVAL_SECONDS)


def read(engine: Engine, container: Container) -> Sample:
    """The figures now (about 0.2 ms)."""
    if not container.running:
        return Sample(container.id, container.name, "0001-01-01T00:00:00Z")
    try:
        figures = cgroups.of(engine, container).stat()
    except OSError:
        return Sample(container.id, container.name, "0001-01-01T00:00:00Z")  # it ended while we looked
    return Sample(
        id=container.id,
        name=container.name,
        read=now(),
        cgroup=figures,
        system_cpu_ns=_system_cpu(),
        online_cpus=engine.kernel.cpus,
        memory_total=info.memory(),
        links=_links(container.state.pid) if container.networks else {},
    )


_machine = (0.0, 0)
_MACHINE_SECONDS = 0.05


def _system_cpu() -> int:
    """The machine's CPU time; one look serves all the containers that are read in the same moment."""
    global _machine
    moment = time.monotonic()
    if moment - _machine[0] > _MACHINE_SECONDS:
        _machine = (moment, _read_system_cpu())
    return _machine[1]


def _read_system_cpu() -> int:
    # proc_stat(5): user nice system idle iowait irq softirq steal; guest time is within user time.
    with open("/proc/stat") as file:
        return sum(map(int, file.readline().split()[1:9])) * _TICK_NS


def _links(pid: int) -> dict[str, LinkStat]:
    try:
        with open(f"/proc/{pid}/net/dev") as file:
            lines = file.readlines()[2:]
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, numbers = line.partition(":")
        values = list(map(int, numbers.split()))
        if name.strip() != "lo":
            found[name.strip()] = LinkStat(*values[:4], *values[8:12])
    return found
