"""What limits this kernel carries; read once when the engine opens."""

from __future__ import annotations

import os

from ..linux.cgroup import Hierarchy
from .resources import Kernel, read_list


def probe() -> Kernel:
    """Look at the mounted hierarchies."""
    hierarchy = Hierarchy.detect()

    def has(controller: str, *names: str) -> bool:
        # On v2 the root group lacks most files: a mounted controller has them all.
        if hierarchy.version == 2:
            return controller in hierarchy.mounts
        mount = hierarchy.mounts.get(controller)
        return mount is not None and all(os.path.exists(f"{mount}/{name}") for name in names)

    v1 = hierarchy.version == 1
    return Kernel(
        version=hierarchy.version,
        cpus=len(os.sched_getaffinity(0)),
        online=read_list("/sys/devices/system/cpu/online"),
        memory_nodes=read_list("/sys/devices/system/node/online"),
        memory=has("memory"),
        swap_limit=has("memory", "memory.memsw.limit_in_bytes"),
        blkio_weight=has("blkio", "blkio.weight") if v1 else has("io"),
        blkio_weight_device=has("blkio", "blkio.weight_device") if v1 else has("io"),
        blkio_throttle=has("blkio", "blkio.throttle.read_bps_device") if v1 else has("io"),
        cpu_shares=has("cpu"),
        cpu_quota=has("cpu", "cpu.cfs_quota_us"),
        cpu_realtime=v1 and has("cpu", "cpu.rt_runtime_us"),
        oom_kill_disable=v1 and has("memory", "memory.oom_control"),
        swappiness=v1 and has("memory", "memory.swappiness"),
        pids=has("pids"),
        cpuset=has("cpuset"),
    )
