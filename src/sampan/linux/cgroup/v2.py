"""Control groups version 2: admin-guide/cgroup-v2.rst; values of v1 are converted as other OCI runtimes do."""

from __future__ import annotations

import errno
import os

from . import devices, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_THROTTLE = {
    "throttleReadBpsDevice": "rbps",
    "throttleWriteBpsDevice": "wbps",
    "throttleReadIOPSDevice": "riops",
    "throttleWriteIOPSDevice": "wiops",
}


def create(mount: str, path: str) -> None:
    """Make a group and its parents; every controller is handed down to it."""
    directory = mount
    for part in path.strip("/").split("/"):
        _hand_down(directory)
        directory = f"{directory}/{part}"
        try:
            os.mkdir(directory, 0o755)
        except FileExistsError:
            continue


def _hand_down(directory: str) -> None:
    available = set(files.read(directory, "cgroup.controllers").split())
    enabled = set(files.read(directory, "cgroup.subtree_control").split())
    for controller in sorted(available - enabled):
        try:
            files.write(directory, "cgroup.subtree_control", f"+{controller}")
        except OSError as error:
            # EBUSY, EOPNOTSUPP: a group with processes of its own; ENOENT: v1 holds the controller (hybrid).
            if error.errno not in (errno.EBUSY, errno.EOPNOTSUPP, errno.ENOENT, errno.EINVAL):
                raise


def apply(directory: str, resources: dict[str, Any]) -> list[str]:
    """Set the limits of OCI `linux.resources`; the warnings about what this kernel lacks."""
    warnings: list[str] = []
    given = settings(resources)
    has_bfq = files.exists(directory, "io.bfq.weight")
    if has_bfq:
        given += _bfq(resources.get("blockIO") or {})
    for name, value in given:
        if files.exists(directory, name):
            files.write(directory, name, value)
        elif not (has_bfq and name == "io.weight"):
            warnings.append(f"this kernel has no {name}; the limit is discarded")
    if resources.get("devices"):
        devices.apply_v2(directory, resources["devices"])
    return warnings


def settings(resources: dict[str, Any]) -> list[tuple[str, str]]:
    """The control files and values for OCI `linux.resources`, in the order of writing."""
    result = [
        *_memory(resources.get("memory") or {}),
        *_cpu(resources.get("cpu") or {}),
        *_io(resources.get("blockIO") or {}),
    ]
    limit = (resources.get("pids") or {}).get("limit")
    if limit:
        result.append(("pids.max", _maximum(limit)))
    for huge in resources.get("hugepageLimits") or ():
        result.append((f"hugetlb.{huge['pageSize']}.max", str(huge["limit"])))
    result.extend((resources.get("unified") or {}).items())
    return result


def _maximum(value: int) -> str:
    return str(value) if value >= 0 else "max"


def _memory(memory: dict[str, Any]) -> list[tuple[str, str]]:
    result = []
    limit, swap, reservation = memory.get("limit"), memory.get("swap"), memory.get("reservation")
    if swap and (swap < 0 or (limit and limit > 0)):
        # v1 counts memory and swap together, v2 swap alone.
        result.append(("memory.swap.max", _maximum(swap - limit if swap > 0 and limit else -1)))
    if limit:
        result.append(("memory.max", _maximum(limit)))
    if reservation:
        result.append(("memory.low", _maximum(reservation)))
    return result


def cpu_weight(shares: int) -> int:
    """cpu.weight [1, 10000] from cpu.shares [2, 262144]."""
    return min(10000, 1 + (max(shares, 2) - 2) * 9999 // 262142)


def _cpu(cpu: dict[str, Any]) -> list[tuple[str, str]]:
    result = []
    if cpu.get("idle") is not None:
        result.append(("cpu.idle", str(cpu["idle"])))
    if cpu.get("shares"):
        result.append(("cpu.weight", str(cpu_weight(cpu["shares"]))))
    quota, period = cpu.get("quota") or 0, cpu.get("period") or 100000
    if cpu.get("quota") or cpu.get("period"):
        result.append(("cpu.max", f"{quota if quota > 0 else 'max'} {period}"))
    if cpu.get("burst"):
        result.append(("cpu.max.burst", str(cpu["burst"])))
    for key in ("cpus", "mems"):
        if cpu.get(key):
            result.append((f"cpuset.{key}", cpu[key]))
    return result


def io_weight(weight: int) -> int:
    """io.weight [1, 10000] from blkio.weight [10, 1000]."""
    return 1 + (weight - 10) * 9999 // 990


def _bfq(block: dict[str, Any]) -> list[tuple[str, str]]:
    """The scheduler BFQ has weights of its own, in v1's range; io.weight is io.cost's (cgroup-v2.rst)."""
    weights = [("default", block["weight"])] if block.get("weight") else []
    weights += [(f"{one['major']}:{one['minor']}", one["weight"]) for one in block.get("weightDevice") or ()]
    return [("io.bfq.weight", f"{of} {weight}") for of, weight in weights]


def _io(block: dict[str, Any]) -> list[tuple[str, str]]:
    result = []
    if block.get("weight"):
        result.append(("io.weight", f"default {io_weight(block['weight'])}"))
    for device in block.get("weightDevice") or ():
        result.append(("io.weight", f"{device['major']}:{device['minor']} {io_weight(device['weight'])}"))
    for key, word in _THROTTLE.items():
        for device in block.get(key) or ():
            result.append(("io.max", f"{device['major']}:{device['minor']} {word}={device['rate']}"))
    return result
