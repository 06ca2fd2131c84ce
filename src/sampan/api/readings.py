"""A reading of `stats` as the API shows it."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from ..engine.stats import Sample
from ..linux.cgroup.stats import BlkioEntry, CgroupStat
from ..model.state import NEVER
from ..wire import stats as wire


def document(sample: Sample, before: Sample | None) -> wire.Stats:
    """The present reading, with the CPU figures of the one before."""
    figures = sample.cgroup
    links = {name: wire.LinkStats(**msgspec.to_builtins(held)) for name, held in sample.links.items()}
    return wire.Stats(
        name=f"/{sample.name}",
        id=sample.id,
        read=sample.read,
        preread=before.read if before is not None else NEVER,
        pids_stats=wire.PidsStats(figures.pids_current, figures.pids_limit) if figures else wire.PidsStats(),
        blkio_stats=_blkio(figures) if figures else wire.BlkioStats(),
        cpu_stats=_cpu(sample),
        precpu_stats=_cpu(before),
        memory_stats=_memory(sample, figures) if figures else wire.MemoryStats(),
        networks=links or UNSET,
    )


def _cpu(sample: Sample | None) -> wire.CpuStats:
    figures = sample.cgroup if sample is not None else None
    if sample is None or figures is None:
        return wire.CpuStats(cpu_usage=wire.CpuUsage(), throttling_data=wire.Throttling())
    return wire.CpuStats(
        cpu_usage=wire.CpuUsage(
            total_usage=figures.cpu_total,
            percpu_usage=figures.cpu_per_core or UNSET,
            usage_in_kernelmode=figures.cpu_system,
            usage_in_usermode=figures.cpu_user,
        ),
        system_cpu_usage=sample.system_cpu_ns,
        online_cpus=sample.online_cpus,
        throttling_data=wire.Throttling(figures.cpu_periods, figures.cpu_throttled_periods, figures.cpu_throttled_time),
    )


def _memory(sample: Sample, figures: CgroupStat) -> wire.MemoryStats:
    return wire.MemoryStats(
        usage=figures.memory_usage,
        max_usage=figures.memory_max_usage or UNSET,
        stats=figures.memory,
        failcnt=figures.memory_failures or UNSET,
        limit=figures.memory_limit or sample.memory_total,
    )


def _blkio(figures: CgroupStat) -> wire.BlkioStats:
    if figures.io_operations is None:  # v2 counts octets only
        return wire.BlkioStats(io_service_bytes_recursive=_entries(figures.io_bytes))
    empty: list[wire.BlkioEntry] = []
    return wire.BlkioStats(
        io_service_bytes_recursive=_entries(figures.io_bytes),
        io_serviced_recursive=_entries(figures.io_operations),
        io_queue_recursive=empty,
        io_service_time_recursive=empty,
        io_wait_time_recursive=empty,
        io_merged_recursive=empty,
        io_time_recursive=empty,
        sectors_recursive=empty,
    )


def _entries(entries: list[BlkioEntry]) -> list[wire.BlkioEntry]:
    return [wire.BlkioEntry(*entry) for entry in entries]
