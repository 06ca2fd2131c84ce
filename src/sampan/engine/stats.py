"""`docker stats`: figures from the cgroup and from the network namespace's counters, read, never polled in between."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator

from msgspec import Struct, field

from ..linux.cgroup import files
from ..linux.cgroup.stats import CgroupStat
from ..model.state import NEVER
from ..model.times import now
from . import cgroups, info
from .container import Container
from .engine import Engine

INTERVAL_SECONDS = 1.0
SNAPSHOT_SECONDS = 0.1
"""Between the two readings of one answer. Their clocks count nanoseconds: a tenth of Docker's second will do."""
_CPUS = os.sysconf("SC_NPROCESSORS_ONLN")


class LinkStat(Struct, frozen=True):
    """One network link's counters since it was made."""

    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


class Sample(Struct, frozen=True):
    """One reading. `read` is RFC 3339; `cgroup` is None when the container does not run.

    `system_cpu_ns` is what all processors have had to give, used or idle (the sum in proc_stat(5), which counts ticks);
    `memory_total` is the machine's memory: the limits where a container has none.
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
    await asyncio.sleep(SNAPSHOT_SECONDS)
    return first, read(engine, container)


async def stream(engine: Engine, ref: str) -> AsyncIterator[Sample]:
    """A reading a second until the container is removed; one that is stopped gives empty ones."""
    container = engine.containers.get(ref)
    with files.Opened() as opened:
        while container.id in engine.containers:
            found = read(engine, container, opened.read)
            if found.cgroup is None:
                opened.close()  # its next run has another group
            yield found
            await asyncio.sleep(INTERVAL_SECONDS)


def read(engine: Engine, container: Container, read: files.Read = files.read) -> Sample:
    """The figures now (about 0.2 ms); `read` is how a file is read."""
    if not container.running:
        return Sample(container.id, container.name, NEVER)
    try:
        figures = cgroups.of(engine, container).stat(read)
    except OSError:
        return Sample(container.id, container.name, NEVER)  # it ended while we looked
    return Sample(
        id=container.id,
        name=container.name,
        read=now(),
        cgroup=figures,
        system_cpu_ns=_CPUS * time.monotonic_ns(),
        online_cpus=_CPUS,
        memory_total=info.memory(),
        links=_links(container.state.pid, read) if container.networks else {},
    )


def _links(pid: int, read: files.Read) -> dict[str, LinkStat]:
    try:
        lines = read(f"/proc/{pid}/net", "dev").splitlines()[2:]
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, numbers = line.partition(":")
        name = name.strip()
        if name != "lo":
            values = list(map(int, numbers.split()))
            found[name] = LinkStat(*values[:4], *values[8:12])
    return found
