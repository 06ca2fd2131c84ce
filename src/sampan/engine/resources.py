"""Checks a HostConfig's resources with Docker's texts; what this kernel cannot do is cleared with a warning."""

from __future__ import annotations

from ..errors import InvalidArgument
from ..model.container import HostConfig
from .kernel import Kernel, cpu_list

MINIMUM_MEMORY = 6 << 20


_ABSENT = "or the cgroup is not mounted"
_LACKING: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("memory_reservation",), "memory_reservation", f"memory soft limit capabilities {_ABSENT}. Limitation discarded."),
    (("cpu_shares",), "cpu_shares", f"CPU shares {_ABSENT}. Shares discarded."),
    (("cpu_period", "cpu_quota"), "cpu_quota", "CPU CFS scheduler. CPU period/quota discarded."),
    (("cpuset_cpus", "cpuset_mems"), "cpuset", f"cpuset {_ABSENT}. CPUset discarded."),
    (("pids_limit",), "pids", f"PIDs limit capabilities {_ABSENT}. PIDs limit discarded."),
    (("blkio_weight",), "blkio_weight", f"Block I/O weight {_ABSENT}. Weight discarded."),
    (("blkio_weight_device",), "blkio_weight_device", f"Block I/O weight_device {_ABSENT}. Weight-device discarded."),
    (("blkio_device_read_bps",), "read_bps",
     f"BPS Block I/O read limit {_ABSENT}. Block I/O BPS read limit discarded."),
    (("blkio_device_write_bps",), "write_bps",
     f"BPS Block I/O write limit {_ABSENT}. Block I/O BPS write limit discarded."),
    (("blkio_device_read_iops",), "read_iops",
     f"IOPS Block read limit {_ABSENT}. Block I/O IOPS read limit discarded."),
    (("blkio_device_write_iops",), "write_iops",
     f"IOPS Block write limit {_ABSENT}. Block I/O IOPS write limit discarded."),
)  # fmt: skip
"""(fields that are cleared, what the kernel must carry, the warning's end)."""
_UNLIMITED = HostConfig(
    blkio_weight_device=[], blkio_device_read_bps=[], blkio_device_write_bps=[], blkio_device_read_iops=[],
    blkio_device_write_iops=[],
)  # fmt: skip


def check(host: HostConfig, kernel: Kernel, *, updating: bool = False) -> list[str]:
    """InvalidArgument where Docker's daemon refuses; returns warnings, having cleared what they are about."""
    warnings: list[str] = []
    _check_memory(host, updating=updating)
    _check_memory_support(host, kernel, warnings)
    _discard(host, kernel, warnings)
    _check_cpu(host, kernel)
    _check_cpu_support(host, kernel, warnings)
    _check_cpuset(host, kernel)
    _check_blkio(host)
    if host.pids_limit is not None and host.pids_limit < -1:
        host.pids_limit = -1
    return warnings


def _discard(host: HostConfig, kernel: Kernel, warnings: list[str]) -> None:
    for fields, needed, text in _LACKING:
        if not getattr(kernel, needed) and any(getattr(host, field) for field in fields):
            warnings.append(f"Your kernel does not support {text}")
            for field in fields:
                setattr(host, field, getattr(_UNLIMITED, field))


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
    if host.memory > 0 and not kernel.memory:
        warnings.append(f"Your kernel does not support memory limit capabilities {_ABSENT}. Limitation discarded.")
        host.memory, host.memory_swap = 0, -1
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
    if host.nano_cpus > 0 and not kernel.cpu_quota:
        raise InvalidArgument(f"NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler {_ABSENT}")
    if not 0 <= host.nano_cpus <= kernel.cpus * 1_000_000_000:
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
            raise InvalidArgument(f"Invalid value {text} for cpuset {flag}: invalid format: {text}") from None
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


def _check_blkio(host: HostConfig) -> None:
    if host.blkio_weight and not 10 <= host.blkio_weight <= 1000:
        raise InvalidArgument("Range of blkio weight is from 10 to 1000")
    if host.io_maximum_iops:
        raise InvalidArgument("invalid option: QoS maximum IOPs configuration is not supported on linux")
    if host.io_maximum_bandwidth:
        raise InvalidArgument("invalid option: QoS maximum bandwidth configuration is not supported on linux")
