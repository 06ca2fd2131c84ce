"""Checks a HostConfig's resources with Docker's texts; what this kernel cannot do is cleared with a warning."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..errors import InvalidArgument
from ..model.container import HostConfig

MINIMUM_MEMORY = 6 << 20


@dataclass(frozen=True)
class Kernel:
    """Which limits this kernel carries, found once at start-up."""

    version: int
    cpus: int
    online: frozenset[int]
    memory_nodes: frozenset[int]
    memory: bool
    swap_limit: bool
    blkio_weight: bool
    blkio_weight_device: bool
    blkio_throttle: bool
    cpu_shares: bool
    cpu_quota: bool
    cpu_realtime: bool
    oom_kill_disable: bool
    swappiness: bool
    pids: bool
    cpuset: bool


def cpu_list(text: str) -> frozenset[int]:
    """The kernel's list format `0-2,4`; ValueError when it is none."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        if part:
            found.update(range(int(first), int(last if dash else first) + 1))
    return frozenset(found)


def check(host: HostConfig, kernel: Kernel, *, updating: bool = False) -> list[str]:
    """InvalidArgument where Docker's daemon refuses; returns warnings, having cleared what they are about."""
    warnings: list[str] = []
    _check_memory(host, updating=updating)
    _check_memory_support(host, kernel, warnings)
    _check_cpu(host, kernel)
    _check_cpu_support(host, kernel, warnings)
    _check_cpuset(host, kernel)
    _check_blkio(host, kernel, warnings)
    if host.pids_limit is not None and host.pids_limit < -1:
        host.pids_limit = -1
    return warnings


def _check_memory(host: HostConfig, *, updating: bool) -> None:
    memory, swap = host.memory, host.memory_swap
    if 0 < memory < MINIMUM_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if memory > 0 and 0 < swap < memory:
        raise InvalidArgument("Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory == 0 and swap > 0 and not updating:
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit, see usage")
    if host.memory_swappiness is not None and not -1 <= host.memory_swappiness <= 100:
        raise InvalidArgument(f"Invalid value: {host.memory_swappiness}, valid memory swappiness range is 0-100")
    if 0 < host.memory_reservation < MINIMUM_MEMORY:
        raise InvalidArgument("Minimum memory reservation allowed is 6MB")
    if 0 < memory < host.memory_reservation:
        raise InvalidArgument("Minimum memory limit can not be less than memory reservation limit, see usage")


def _check_memory_support(host: HostConfig, kernel: Kernel, warnings: list[str]) -> None:
    if host.memory > 0 and not kernel.swap_limit and host.memory_swap != -1:
        warnings.append(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
            "Memory limited without swap."
        )
        host.memory_swap = -1
    if host.memory_swappiness not in (None, -1) and not kernel.swappiness:
        warnings.append(
            "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. "
            "Memory swappiness discarded."
        )
        host.memory_swappiness = None
    if host.oom_kill_disable and not kernel.oom_kill_disable:
        warnings.append("Your kernel does not support OomKillDisable. OomKillDisable discarded.")
        host.oom_kill_disable = None
    if host.oom_kill_disable and host.memory == 0:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources."
        )


def _check_cpu(host: HostConfig, kernel: Kernel) -> None:
    if host.nano_cpus > 0 and (host.cpu_period > 0 or host.cpu_quota > 0):
        other = "CPU Period" if host.cpu_period > 0 else "CPU Quota"
        raise InvalidArgument(f"Conflicting options: Nano CPUs and {other} cannot both be set")
    if host.nano_cpus and not 10_000_000 <= host.nano_cpus <= kernel.cpus * 1_000_000_000:
        raise InvalidArgument(
            f"range of CPUs is from 0.01 to {kernel.cpus}.00, as there are only {kernel.cpus} CPUs available"
        )
    if host.cpu_period and not 1000 <= host.cpu_period <= 1_000_000:
        raise InvalidArgument("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < host.cpu_quota < 1000:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if host.cpu_shares < 0:
        raise InvalidArgument(f"invalid CPU shares ({host.cpu_shares}): value must be a positive integer")


def _check_cpu_support(host: HostConfig, kernel: Kernel, warnings: list[str]) -> None:
    if (host.cpu_realtime_period or host.cpu_realtime_runtime) and not kernel.cpu_realtime:
        raise InvalidArgument("kernel does not support CPU real-time scheduler")
    if host.cpu_realtime_runtime > host.cpu_realtime_period > 0:
        raise InvalidArgument("cpu real-time runtime cannot be higher than cpu real-time period")
    if host.cpu_percent > 0:
        warnings.append("linux does not support CPU percent. Percent discarded.")
        host.cpu_percent = 0


def _check_cpuset(host: HostConfig, kernel: Kernel) -> None:
    for text, present, what, flag in (
        (host.cpuset_cpus, kernel.online, "CPUs", "cpus"),
        (host.cpuset_mems, kernel.memory_nodes, "memory nodes", "mems"),
    ):
        try:
            wanted = cpu_list(text)
        except ValueError:
            raise InvalidArgument(f"Invalid value {text} for cpuset {flag}") from None
        if not wanted <= present:
            shown = ",".join(_ranges(sorted(present)))
            raise InvalidArgument(f"Requested {what} are not available - requested {text}, available: {shown}")


def _ranges(numbers: list[int]) -> list[str]:
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]


def _check_blkio(host: HostConfig, kernel: Kernel, warnings: list[str]) -> None:
    if host.blkio_weight and not kernel.blkio_weight:
        warnings.append("Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.")
        host.blkio_weight = 0
    if host.blkio_weight and not 10 <= host.blkio_weight <= 1000:
        raise InvalidArgument("Range of blkio weight is from 10 to 1000")
    if host.blkio_weight_device and not kernel.blkio_weight_device:
        warnings.append(
            "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. "
            "Weight-device discarded."
        )
        host.blkio_weight_device = []
    if host.io_maximum_iops:
        raise InvalidArgument("invalid option: QoS maximum IOPs configuration is not supported on linux")
    if host.io_maximum_bandwidth:
        raise InvalidArgument("invalid option: QoS maximum bandwidth configuration is not supported on linux")


def read_list(path: str) -> frozenset[int]:
    """A kernel file in list format; empty where the kernel has none."""
    try:
        with open(path) as file:
            return cpu_list(file.read())
    except OSError:
        return frozenset(range(os.cpu_count() or 1)) if "cpu" in path else frozenset({0})
