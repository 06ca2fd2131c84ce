"""From HostConfig to OCI `linux.resources`, but the devices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..errors import SampanError
from ..model.container import HostConfig, ThrottleDevice, WeightDevice

_PERIOD = 100_000
_THROTTLES = {
    "throttleReadBpsDevice": "blkio_device_read_bps",
    "throttleWriteBpsDevice": "blkio_device_write_bps",
    "throttleReadIOPSDevice": "blkio_device_read_iops",
    "throttleWriteIOPSDevice": "blkio_device_write_iops",
}


def resources(host: HostConfig, default_pids: int = 0) -> dict[str, Any]:
    """The limits of a container, 0 for no default; what is not limited is left out."""
    found: dict[str, Any] = {"memory": memory(host), "cpu": cpu(host), "blockIO": block_io(host)}
    pids = default_pids if host.pids_limit is None else host.pids_limit or -1
    if pids:
        found["pids"] = {"limit": pids}
    return {name: value for name, value in found.items() if value}


def memory(host: HostConfig) -> dict[str, Any]:
    """OCI `memory`, bytes. Without a word on swap it is twice the memory, as in Docker."""
    found: dict[str, Any] = {}
    if host.memory:
        found["limit"] = host.memory
        found["swap"] = host.memory_swap or 2 * host.memory
    elif host.memory_swap:
        found["swap"] = host.memory_swap
    if host.memory_reservation:
        found["reservation"] = host.memory_reservation
    if host.memory_swappiness is not None and 0 <= host.memory_swappiness <= 100:
        found["swappiness"] = host.memory_swappiness
    if host.oom_kill_disable:
        found["disableOOMKiller"] = True
    return found


def cpu(host: HostConfig) -> dict[str, Any]:
    """OCI `cpu`; `--cpus` is a quota per 100 ms."""
    found: dict[str, Any] = {
        "shares": host.cpu_shares,
        "quota": host.cpu_quota,
        "period": host.cpu_period,
        "realtimeRuntime": host.cpu_realtime_runtime,
        "realtimePeriod": host.cpu_realtime_period,
        "cpus": host.cpuset_cpus,
        "mems": host.cpuset_mems,
    }
    if host.nano_cpus:
        found["period"] = _PERIOD
        found["quota"] = host.nano_cpus * _PERIOD // 10**9
    return {key: value for key, value in found.items() if value}


def block_io(host: HostConfig) -> dict[str, Any]:
    """OCI `blockIO`; devices are named by number."""
    found: dict[str, Any] = {}
    if host.blkio_weight:
        found["weight"] = host.blkio_weight
    if host.blkio_weight_device:
        found["weightDevice"] = [_device(entry, weight=entry.weight) for entry in host.blkio_weight_device]
    for key, field in _THROTTLES.items():
        entries: Sequence[ThrottleDevice] = getattr(host, field) or ()
        if entries:
            found[key] = [_device(entry, rate=entry.rate) for entry in entries]
    return found


def _device(entry: WeightDevice | ThrottleDevice, **value: int) -> dict[str, int]:
    try:
        number = os.stat(entry.path).st_rdev
    except OSError as error:
        raise SampanError(f"stat {entry.path}: {(error.strerror or '').lower()}") from error
    return {"major": os.major(number), "minor": os.minor(number), **value}
