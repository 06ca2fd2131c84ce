"""`/metrics`: figures of the daemon and of every running container, in Prometheus's text format (version 0.0.4)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from typing import Final

from .. import __version__
from ..engine import info, stats, system
from ..engine.engine import Engine
from ..engine.stats import Sample
from .call import ENGINE_VERSION, Call

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


async def show_metrics(call: Call) -> None:
    await call.document(document(call.engine).encode(), CONTENT_TYPE)


def document(engine: Engine) -> str:
    """All figures, one family after the other."""
    return "".join(_lines(engine))


def _lines(engine: Engine) -> Iterator[str]:
    counts = system.count(engine)
    states = {"paused": counts.paused, "running": counts.running, "stopped": counts.stopped}
    labels = {"version": ENGINE_VERSION, "commit": __version__, "architecture": info.machine(), "kernel": info.kernel()}
    yield from _family("engine_daemon_engine_info", "gauge", "The version and the host.", [(labels, 1.0)])
    yield from _family("engine_daemon_engine_cpus_cpus", "gauge", "CPUs of the host.", [({}, info.processors())])
    yield from _family("engine_daemon_engine_memory_bytes", "gauge", "Memory of the host.", [({}, info.memory())])
    rows = [({"state": state}, number) for state, number in states.items()]
    yield from _family("engine_daemon_container_states_containers", "gauge", "Containers by state.", rows)
    yield from _family("process_open_fds", "gauge", "Open file descriptors.", [({}, info.open_files())])
    yield from _family("process_resident_memory_bytes", "gauge", "Resident memory.", [({}, _resident())])
    yield from _family("sampan_tasks", "gauge", "Tasks of the event loop.", [({}, len(asyncio.all_tasks()))])
    yield from _containers(engine)


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _containers(engine: Engine) -> Iterator[str]:
    samples = [stats.read(engine, container) for container in engine.containers if container.running]
    for name, kind, about, figure in _FIGURES:
        rows = [({"id": held.id, "name": held.name}, figure(held)) for held in samples if held.cgroup is not None]
        yield from _family(f"sampan_container_{name}", kind, about, rows)


def _cpu(sample: Sample) -> float:
    return sample.cgroup.cpu_total / 1e9 if sample.cgroup else 0


def _memory(sample: Sample) -> float:
    return sample.cgroup.memory_usage if sample.cgroup else 0


def _limit(sample: Sample) -> float:
    return (sample.cgroup.memory_limit if sample.cgroup else 0) or sample.memory_total


def _processes(sample: Sample) -> float:
    return sample.cgroup.pids_current if sample.cgroup else 0


def _received(sample: Sample) -> float:
    return sum(link.rx_bytes for link in sample.links.values())


def _sent(sample: Sample) -> float:
    return sum(link.tx_bytes for link in sample.links.values())


_FIGURES: Final = (
    ("cpu_seconds_total", "counter", "CPU time used.", _cpu),
    ("memory_usage_bytes", "gauge", "Memory used.", _memory),
    ("memory_limit_bytes", "gauge", "Memory that may be used.", _limit),
    ("processes", "gauge", "Processes and threads.", _processes),
    ("network_receive_bytes_total", "counter", "Octets received.", _received),
    ("network_transmit_bytes_total", "counter", "Octets sent.", _sent),
)


def _family(name: str, kind: str, about: str, rows: Sequence[tuple[dict[str, str], float]]) -> Iterator[str]:
    yield f"# HELP {name} {about}\n# TYPE {name} {kind}\n"
    for labels, value in rows:
        shown = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        yield f"{name}{{{shown}}} {value:g}\n" if isinstance(value, float) else f"{name}{{{shown}}} {value}\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
