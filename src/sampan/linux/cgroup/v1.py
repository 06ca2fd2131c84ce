"""Control groups version 1: Documentation/admin-guide/cgroup-v1."""

from __future__ import annotations

import errno
import os

from . import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# OCI key → (controller, control file). Written in this order.
_CPU = {
    "shares": ("cpu", "cpu.shares"),
    "period": ("cpu", "cpu.cfs_period_us"),
    "quota": ("cpu", "cpu.cfs_quota_us"),
    "burst": ("cpu", "cpu.cfs_burst_us"),
    "realtimePeriod": ("cpu", "cpu.rt_period_us"),
    "realtimeRuntime": ("cpu", "cpu.rt_runtime_us"),
    "idle": ("cpu", "cpu.idle"),
    "cpus": ("cpuset", "cpuset.cpus"),
    "mems": ("cpuset", "cpuset.mems"),
}
_MEMORY = {
    "reservation": "memory.soft_limit_in_bytes",
    "kernelTCP": "memory.kmem.tcp.limit_in_bytes",
    "swappiness": "memory.swappiness",
}
_THROTTLE = {
    "throttleReadBpsDevice": "blkio.throttle.read_bps_device",
    "throttleWriteBpsDevice": "blkio.throttle.write_bps_device",
    "throttleReadIOPSDevice": "blkio.throttle.read_iops_device",
    "throttleWriteIOPSDevice": "blkio.throttle.write_iops_device",
}


_LEAST_SHARES, _MOST_SHARES = 2, 262144


def create(controller: str, mount: str, directory: str) -> None:
    """Make a group in one hierarchy; parents too."""
    try:
        os.mkdir(directory, 0o755)
    except FileExistsError:
        pass
    except FileNotFoundError:
        create(controller, mount, os.path.dirname(directory))
        create(controller, mount, directory)
        return
    if controller == "cpuset":
        _inherit_cpuset(directory)


def _inherit_cpuset(directory: str) -> None:
    # cpusets.txt: a new cpuset is empty, and no task can be attached until both have a value.
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not files.read(directory, name):
            files.write(directory, name, files.read(os.path.dirname(directory), name))


def apply(directories: dict[str, str], resources: dict[str, Any]) -> list[str]:
    """Set the limits of OCI `linux.resources` but the devices; the warnings about what is not there."""
    warnings: list[str] = []
    _apply_memory(directories, resources.get("memory") or {}, warnings)
    _apply_cpu(directories, resources.get("cpu") or {}, warnings)
    _apply_pids(directories, resources.get("pids") or {}, warnings)
    _apply_blkio(directories, resources.get("blockIO") or {}, warnings)
    for limit in resources.get("hugepageLimits") or ():
        _set(directories, "hugetlb", f"hugetlb.{limit['pageSize']}.limit_in_bytes", limit["limit"], warnings)
    network = resources.get("network") or {}
    if network.get("classID"):
        _set(directories, "net_cls", "net_cls.classid", network["classID"], warnings)
    for priority in network.get("priorities") or ():
        _set(directories, "net_prio", "net_prio.ifpriomap", f"{priority['name']} {priority['priority']}", warnings)
    return warnings


def _set(directories: dict[str, str], controller: str, name: str, value: object, warnings: list[str]) -> None:
    directory = directories.get(controller)
    if directory is None or not files.exists(directory, name):
        warnings.append(f"this kernel has no {name}; the limit is discarded")
        return
    files.write(directory, name, str(value))


def _apply_cpu(directories: dict[str, str], cpu: dict[str, Any], warnings: list[str]) -> None:
    for key, (controller, name) in _CPU.items():
        value = cpu.get(key)
        if value is None or value == "" or (value == 0 and key != "idle"):
            continue
        if key == "shares":
            _refuse_shares(value)
        try:
            _set(directories, controller, name, value, warnings)
        except OSError as error:
            if key != "period" or error.errno != errno.EINVAL or not cpu.get("quota"):
                raise
            # The old quota may not fit the new period: quota first, then period again.
            _set(directories, controller, "cpu.cfs_quota_us", cpu["quota"], warnings)
            _set(directories, controller, name, value, warnings)


def _refuse_shares(shares: int) -> None:
    # The kernel would take the nearest that it has (sched_group_set_shares); runc refuses.
    if shares < _LEAST_SHARES:
        raise OSError(errno.EINVAL, f"the minimum allowed cpu-shares is {_LEAST_SHARES}")
    if shares > _MOST_SHARES:
        raise OSError(errno.EINVAL, f"the maximum allowed cpu-shares is {_MOST_SHARES}")


def _apply_memory(directories: dict[str, str], memory: dict[str, Any], warnings: list[str]) -> None:
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    if limit or swap:
        _set_memory_and_swap(directories, limit, swap, warnings)
    for key, name in _MEMORY.items():
        if memory.get(key) is not None and (memory[key] or key == "swappiness"):
            _set(directories, "memory", name, memory[key], warnings)
    if memory.get("disableOOMKiller"):
        _set(directories, "memory", "memory.oom_control", 1, warnings)


def _set_memory_and_swap(directories: dict[str, str], limit: int, swap: int, warnings: list[str]) -> None:
    # memory.txt §: memsw.limit >= limit at every moment; so the one that makes room goes first.
    directory = directories.get("memory", "")
    steps = [("memory.limit_in_bytes", limit), ("memory.memsw.limit_in_bytes", swap)]
    swap_now = files.read_number(directory, "memory.memsw.limit_in_bytes", -1) if directory else -1
    if swap and (swap == -1 or swap > swap_now >= 0) and swap_now >= 0:
        steps.reverse()
    for name, value in steps:
        if value:
            _set(directories, "memory", name, value, warnings)


def _apply_pids(directories: dict[str, str], pids: dict[str, Any], warnings: list[str]) -> None:
    limit = pids.get("limit")
    if limit:
        _set(directories, "pids", "pids.max", limit if limit > 0 else "max", warnings)


def _apply_blkio(directories: dict[str, str], block: dict[str, Any], warnings: list[str]) -> None:
    directory = directories.get("blkio", "")
    prefix = "blkio.bfq." if directory and files.exists(directory, "blkio.bfq.weight") else "blkio."
    if block.get("weight"):
        _set(directories, "blkio", f"{prefix}weight", block["weight"], warnings)
    for device in block.get("weightDevice") or ():
        value = f"{device['major']}:{device['minor']} {device['weight']}"
        _set(directories, "blkio", f"{prefix}weight_device", value, warnings)
    for key, name in _THROTTLE.items():
        for device in block.get(key) or ():
            _set(directories, "blkio", name, f"{device['major']}:{device['minor']} {device['rate']}", warnings)
