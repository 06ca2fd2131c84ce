"""Usage figures of a control group, in one shape for v1 and v2."""

from __future__ import annotations

from msgspec import Struct, field

from . import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .files import Read

BlkioEntry = tuple[int, int, str, int]
"""(major, minor, operation, value); operations as the kernel writes them on v1, in lower case on v2, as in Docker."""


class CgroupStat(Struct, frozen=True):
    """Times in nanoseconds, sizes in bytes; `memory_limit` and `pids_limit` are 0 for none."""

    cpu_total: int = 0
    cpu_user: int = 0
    cpu_system: int = 0
    cpu_per_core: list[int] = field(default_factory=list)
    cpu_periods: int = 0
    cpu_throttled_periods: int = 0
    cpu_throttled_time: int = 0
    memory_usage: int = 0
    memory_max_usage: int = 0
    memory_failures: int = 0
    memory_limit: int = 0
    memory: dict[str, int] = field(default_factory=dict)
    pids_current: int = 0
    pids_limit: int = 0
    io_bytes: list[BlkioEntry] = field(default_factory=list)
    io_operations: list[BlkioEntry] | None = None


_UNLIMITED = 1 << 62  # v1 shows PAGE_COUNTER_MAX for no limit
_TICK = 10_000_000  # USER_HZ is 100 on every architecture that runs this


def read(directories: dict[str, str], version: int, read: Read = files.read) -> CgroupStat:
    """The figures now; what the kernel does not count is 0. `read` is how a file is read."""
    return _read_v2(directories[""], read) if version == 2 else _read_v1(directories, read)


def _read_v1(directories: dict[str, str], read: Read) -> CgroupStat:
    cpu, account = directories.get("cpu", ""), directories.get("cpuacct", "")
    memory, pids, blkio = (directories.get(name, "") for name in ("memory", "pids", "blkio"))
    times = files.read_pairs(account, "cpuacct.stat", read)
    throttled = files.read_pairs(cpu, "cpu.stat", read)
    per_core = _numbers(account, "cpuacct.usage_percpu", read)
    details = files.read_pairs(memory, "memory.stat", read)
    limit = details.get("hierarchical_memory_limit", 0)
    return CgroupStat(
        cpu_total=sum(per_core),
        cpu_user=times.get("user", 0) * _TICK,
        cpu_system=times.get("system", 0) * _TICK,
        cpu_per_core=per_core,
        cpu_periods=throttled.get("nr_periods", 0),
        cpu_throttled_periods=throttled.get("nr_throttled", 0),
        cpu_throttled_time=throttled.get("throttled_time", 0),
        memory_usage=files.read_number(memory, "memory.usage_in_bytes", read=read),
        memory_max_usage=files.read_number(memory, "memory.max_usage_in_bytes", read=read),
        memory_failures=files.read_number(memory, "memory.failcnt", read=read),
        memory_limit=0 if limit >= _UNLIMITED else limit,
        memory=details,
        pids_current=files.read_number(pids, "pids.current", read=read),
        pids_limit=files.read_number(pids, "pids.max", read=read),
        io_bytes=_blkio(blkio, "blkio.throttle.io_service_bytes_recursive", read),
        io_operations=_blkio(blkio, "blkio.throttle.io_serviced_recursive", read),
    )


def _numbers(directory: str, name: str, read: Read) -> list[int]:
    try:
        return [int(word) for word in read(directory, name).split()]
    except FileNotFoundError:
        return []


def _blkio(directory: str, name: str, read: Read) -> list[BlkioEntry]:
    try:
        lines = read(directory, name).splitlines()
    except FileNotFoundError:
        return []
    return [_blkio_entry(*line.split()) for line in lines if line.count(" ") == 2]


def _blkio_entry(device: str, operation: str, value: str) -> BlkioEntry:
    major, _, minor = device.partition(":")
    return int(major), int(minor), operation, int(value)


def _read_v2(directory: str, read: Read) -> CgroupStat:
    cpu = files.read_pairs(directory, "cpu.stat", read)
    memory = files.read_pairs(directory, "memory.stat", read)
    return CgroupStat(
        cpu_total=cpu.get("usage_usec", 0) * 1000,
        cpu_user=cpu.get("user_usec", 0) * 1000,
        cpu_system=cpu.get("system_usec", 0) * 1000,
        cpu_periods=cpu.get("nr_periods", 0),
        cpu_throttled_periods=cpu.get("nr_throttled", 0),
        cpu_throttled_time=cpu.get("throttled_usec", 0) * 1000,
        memory_usage=files.read_number(directory, "memory.current", read=read),
        memory_failures=files.read_pairs(directory, "memory.events", read).get("oom", 0),
        memory_limit=files.read_number(directory, "memory.max", read=read),
        memory=memory,
        pids_current=files.read_number(directory, "pids.current", read=read),
        pids_limit=files.read_number(directory, "pids.max", read=read),
        io_bytes=_io_v2(directory, read),
    )


_IO_BYTES = {"rbytes": "read", "wbytes": "write"}


def _io_v2(directory: str, read: Read) -> list[BlkioEntry]:
    # io.stat: "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0"
    try:
        lines = read(directory, "io.stat").splitlines()
    except FileNotFoundError:
        return []
    found: list[BlkioEntry] = []
    for line in lines:
        device, *pairs = line.split()
        for key, _, value in (pair.partition("=") for pair in pairs):
            if key in _IO_BYTES:
                found.append(_blkio_entry(device, _IO_BYTES[key], value))
    return found
