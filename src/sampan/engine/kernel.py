"""What limits this kernel carries; read once when the engine opens."""

from __future__ import annotations

import os
from collections.abc import Iterator

from msgspec import Struct

from ..linux.cgroup import Cgroup, Hierarchy

_V1 = {
    "memory": "memory", "memory_reservation": "memory.soft_limit_in_bytes",
    "swap_limit": "memory.memsw.limit_in_bytes", "swappiness": "memory.swappiness",
    "oom_kill_disable": "memory.oom_control", "kernel_memory_tcp": "memory.kmem.tcp.limit_in_bytes",
    "cpu_shares": "cpu.shares", "cpu_quota": "cpu.cfs_quota_us", "cpu_realtime": "cpu.rt_runtime_us",
    "blkio_weight": "blkio.weight", "blkio_weight_device": "blkio.weight_device",
    "read_bps": "blkio.throttle.read_bps_device", "write_bps": "blkio.throttle.write_bps_device",
    "read_iops": "blkio.throttle.read_iops_device", "write_iops": "blkio.throttle.write_iops_device",
    "pids": "pids", "cpuset": "cpuset",
}  # fmt: skip
"""What → controller, and the control file that the root group has where the kernel can do it."""
_V2 = {
    "memory": "memory.max", "memory_reservation": "memory.low", "swap_limit": "memory.swap.max",
    "cpu_shares": "cpu.weight", "cpu_quota": "cpu.max", "blkio_weight": "io.weight io.bfq.weight",
    "blkio_weight_device": "io.weight io.bfq.weight", "read_bps": "io.max", "write_bps": "io.max",
    "read_iops": "io.max", "write_iops": "io.max", "pids": "pids.max", "cpuset": "cpuset.cpus",
}  # fmt: skip
"""The same for v2, any of the files; what is missing here is not in v2. The root group has none of them."""


class Kernel(Struct, frozen=True):
    """The hierarchies' version, the machine, and which limits can be set."""

    version: int
    cpus: int
    online: frozenset[int]
    memory_nodes: frozenset[int]
    tasks: int
    """How many processes and threads the machine can have."""
    memory: bool = False
    memory_reservation: bool = False
    swap_limit: bool = False
    swappiness: bool = False
    oom_kill_disable: bool = False
    kernel_memory_tcp: bool = False
    cpu_shares: bool = False
    cpu_quota: bool = False
    cpu_realtime: bool = False
    blkio_weight: bool = False
    blkio_weight_device: bool = False
    read_bps: bool = False
    write_bps: bool = False
    read_iops: bool = False
    write_iops: bool = False
    pids: bool = False
    cpuset: bool = False


def probe(parent: str, hierarchy: Hierarchy | None = None) -> Kernel:
    """Look at the hierarchies; `parent` is the group for containers' groups, empty where systemd makes those."""
    hierarchy = hierarchy or Hierarchy.detect()
    found = _probe_v2(hierarchy, parent) if hierarchy.version == 2 else _probe_v1(hierarchy)
    return Kernel(
        version=hierarchy.version,
        cpus=len(os.sched_getaffinity(0)),
        online=read_list("/sys/devices/system/cpu/online"),
        memory_nodes=read_list("/sys/devices/system/node/online"),
        tasks=min(map(_sysctl, ("pid_max", "threads-max"))),
        **found,
    )


def _probe_v1(hierarchy: Hierarchy) -> dict[str, bool]:
    found = {}
    for what, name in _V1.items():
        controller, dot, _ = name.partition(".")
        mount = hierarchy.mounts.get(controller)
        found[what] = mount is not None and (not dot or os.path.exists(f"{mount}/{name}"))
    return found


def _probe_v2(hierarchy: Hierarchy, parent: str) -> dict[str, bool]:
    found = {}
    for what, names in _V2.items():
        controller = names.partition(".")[0]
        found[what] = controller in hierarchy.mounts and _has_v2(hierarchy, controller, names.split(), parent)
    return found


def _has_v2(hierarchy: Hierarchy, controller: str, names: list[str], parent: str) -> bool:
    for directory in _groups(hierarchy, parent):
        try:
            with open(f"{directory}/cgroup.controllers", encoding="ascii") as file:
                handed_down = controller in file.read().split()
        except OSError:
            continue
        if handed_down:
            return any(os.path.exists(f"{directory}/{name}") for name in names)
    return True  # no group has the controller yet, and those of systemd are not ours to change: most kernels have all


def _groups(hierarchy: Hierarchy, parent: str) -> Iterator[str]:
    if parent:
        group = Cgroup(parent, hierarchy)
        try:
            group.create()
        except OSError:
            return  # containers with limits will fail; the engine itself must open
        yield group.directories[""]
    with os.scandir(hierarchy.unified) as entries:
        yield from [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _sysctl(name: str) -> int:
    with open(f"/proc/sys/kernel/{name}", encoding="ascii") as file:
        return int(file.read())


def cpu_list(text: str) -> frozenset[int]:
    """The kernel's list format `0-2,4`; ValueError when it is none."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        if part:
            found.update(range(int(first), int(last if dash else first) + 1))
    return frozenset(found)


def read_list(path: str) -> frozenset[int]:
    """A kernel file in list format; empty where the kernel has none."""
    try:
        with open(path) as file:
            return cpu_list(file.read())
    except OSError:
        return frozenset(range(os.cpu_count() or 1)) if "cpu" in path else frozenset({0})
