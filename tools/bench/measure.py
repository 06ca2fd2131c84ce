"""Clocks and counters."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

GAP = 0.15
"""Seconds between isolated starts: the kernel's caches and our pools settle as they would for a person."""

CPUCLOCK_SCHED = 2
"""Of the clock that clock_getcpuclockid(3) makes of a process's number; what Python gives is only for threads."""

SETTLED = 5.0
"""Seconds after which a container or a daemon that does nothing counts as idle."""


def seconds(argv: Sequence[str], stdin: bytes | None = None) -> float:
    """Wall-clock time of a command that must succeed."""
    began = time.perf_counter()
    done = subprocess.run(argv, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                          capture_output=True, check=False)  # fmt: skip
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.decode()[-500:]}")
    return took


def interleaved(calls: Mapping[str, Callable[[], float]], rounds: int, gap: float = 0.0) -> dict[str, float]:
    """The median of each call, all called in turn so that the machine's mood falls on all alike."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()  # the first of each pays for cold caches
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(gap)
            taken[name].append(call())
    return {name: median(values) for name, values in taken.items()}


def together(argvs: Sequence[Sequence[str]]) -> float:
    """Wall-clock time of several commands started at once."""
    began = time.perf_counter()
    running = [subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
               for argv in argvs]  # fmt: skip
    for one in running:
        error = one.communicate()[1]
        if one.returncode:
            raise RuntimeError(f"{' '.join(map(str, one.args))}: {error.decode()[-500:]}")  # type: ignore[arg-type] # a list
    return time.perf_counter() - began


def proportional(pids: Sequence[int]) -> float:
    """Proportional set size of processes together, MB."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1000


def alone(pids: Sequence[int]) -> float:
    """What processes take where no other engine runs, MB: others' dockerds share its program's pages in `proportional`.

    Memory of their own counts by its share among them, each file's pages once.
    """
    total, files = 0, dict[str, int]()
    for pid in pids:
        of_process: dict[str, int] = {}
        name = ""
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            key, *values = line.split()
            if not key.endswith(":"):
                name = values[4] if len(values) > 4 and values[4].startswith("/") else ""
            elif key == "Rss:" and name:
                of_process[name] = of_process.get(name, 0) + int(values[0])
            elif key == "Anonymous:" and name:
                of_process[name] -= int(values[0])
        for name, size in of_process.items():
            files[name] = max(files.get(name, 0), size)
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1])
    return (total + sum(files.values())) / 1000


def peak(pids: Sequence[int]) -> float:
    """The most memory that processes have had resident so far, each at its own time, MB."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1])
    return total / 1000


def processor(pids: Sequence[int]) -> float:
    """Processor seconds used so far by processes, their ended threads included."""
    return sum(time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED) for pid in pids)
