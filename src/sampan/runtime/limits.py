"""A HostConfig's resources as OCI `linux.resources` (runtime-spec, config-linux.md)."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET

from sampan.errors import InvalidArgument
from sampan.model.container import HostConfig, ThrottleDevice

DEFAULT_CPU_PERIOD = 100_000
_CPU = (
    ("shares", "cpu_shares"),
    ("period", "cpu_period"),
    ("quota", "cpu_quota"),
    ("realtimePeriod", "cpu_realtime_period"),
    ("realtimeRuntime", "cpu_realtime_runtime"),
    ("cpus", "cpuset_cpus"),
    ("mems", "cpuset_mems"),
)
_MEMORY = (
    ("limit", "memory"),
    ("reservation", "memory_reservation"),
    ("swap", "memory_swap"),
)
_THROTTLE = (
    ("throttleReadBpsDevice", "blkio_device_read_bps"),
    ("throttleWriteBpsDevice", "blkio_device_write_bps"),
    ("throttleReadIOPSDevice", "blkio_device_read_iops"),
    ("throttleWriteIOPSDevice", "blkio_device_write_iops"),
)


def resources(host: HostConfig, default_pids: int = 0) -> dict[str, Any]:
    """All but the device rules; what is not limited is left out."""
    found: dict[str, Any] = {
        "cpu": _cpu(host),
        "memory": _memory(host),
        "blockIO": _blkio(host),
    }
    pids = host.pids_limit if host.pids_limit is not None else default_pids
    if pids:
        found["pids"] = {"limit": pids if pids > 0 else -1}
    return {name: value for name, value in found.items() if value}


def _cpu(host: HostConfig) -> dict[str, Any]:
    found = {name: getattr(host, field) for name, field in _CPU if getattr(host, field)}
    if host.nano_cpus:
        found["period"] = DEFAULT_CPU_PERIOD
        found["quota"] = host.nano_cpus * DEFAULT_CPU_PERIOD // 1_000_000_000
    return found


def _memory(host: HostConfig) -> dict[str, Any]:
    found: dict[str, Any] = {name: getattr(host, field) for name, field in _MEMORY if getattr(host, field)}
    if host.memory_swappiness is not None and host.memory_swappiness >= 0:
        found["swappiness"] = host.memory_swappiness
    if host.oom_kill_disable:
        found["disableOOMKiller"] = True
    if host.kernel_memory_tcp is not UNSET and host.kernel_memory_tcp:
        found["kernelTCP"] = host.kernel_memory_tcp
    return found


def _blkio(host: HostConfig) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if host.blkio_weight:
        found["weight"] = host.blkio_weight
    if host.blkio_weight_device:
        found["weightDevice"] = [
            {**_numbers(device.path), "weight": device.weight} for device in host.blkio_weight_device
        ]
    for name, field in _THROTTLE:
        devices: Sequence[ThrottleDevice] | None = getattr(host, field)
        if devices:
            found[name] = [{**_numbers(device.path), "rate": device.rate} for device in devices]
    return found


def _numbers(path: str) -> dict[str, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise InvalidArgument(f"failed to get device number: {path}: {error.strerror}") from error
    if not stat.S_ISBLK(status.st_mode):
        raise InvalidArgument(f"not a block device: {path}")
    return {"major": os.major(status.st_rdev), "minor": os.minor(status.st_rdev)}
