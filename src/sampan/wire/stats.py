"""`GET /containers/{id}/stats`."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType


class BlkioEntry(Struct):
    major: int
    minor: int
    op: str
    value: int


class BlkioStats(Struct, kw_only=True):
    io_service_bytes_recursive: list[BlkioEntry] | None = None
    io_serviced_recursive: list[BlkioEntry] | None = None
    io_queue_recursive: list[BlkioEntry] | None = None
    io_service_time_recursive: list[BlkioEntry] | None = None
    io_wait_time_recursive: list[BlkioEntry] | None = None
    io_merged_recursive: list[BlkioEntry] | None = None
    io_time_recursive: list[BlkioEntry] | None = None
    sectors_recursive: list[BlkioEntry] | None = None


class PidsStats(Struct, omit_defaults=True):
    current: int = 0
    limit: int = 0


class CpuUsage(Struct, kw_only=True):
    """Nanoseconds."""

    total_usage: int = 0
    percpu_usage: list[int] | UnsetType = UNSET
    usage_in_kernelmode: int = 0
    usage_in_usermode: int = 0


class Throttling(Struct):
    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0


class CpuStats(Struct, kw_only=True):
    cpu_usage: CpuUsage
    system_cpu_usage: int | UnsetType = UNSET
    online_cpus: int | UnsetType = UNSET
    throttling_data: Throttling


class MemoryStats(Struct, kw_only=True):
    usage: int | UnsetType = UNSET
    max_usage: int | UnsetType = UNSET
    stats: dict[str, int] | UnsetType = UNSET
    failcnt: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET


class LinkStats(Struct, kw_only=True):
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


class Stats(Struct, kw_only=True):
    """One reading; `precpu_stats` is the one before, from which clients compute percentages."""

    name: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    read: str
    preread: str
    pids_stats: PidsStats
    blkio_stats: BlkioStats
    num_procs: int = 0
    storage_stats: dict[str, int] = {}
    cpu_stats: CpuStats
    precpu_stats: CpuStats
    memory_stats: MemoryStats
    networks: dict[str, LinkStats] | UnsetType = UNSET
