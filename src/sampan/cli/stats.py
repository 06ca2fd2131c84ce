"""`stats`: one reader per container, one table."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from sampan.errors import NotFound, SampanError

from ..model import quantity
from .command import ANY, command
from .container_list import short_id
from .flags import Options, boolean, string
from .tabular import View, show
from .usage import FORMAT_USAGE

if TYPE_CHECKING:
    from sampan.client.sync import Client

    from .session import Session

Sample = dict[str, Any]
INTERVAL_SECONDS = 0.5
FIRST_WAIT_SECONDS = 3.0
CLEAR = "\x1b[2J\x1b[H"
HOME = "\x1b[H"


def cpu_percent(sample: Sample) -> float:
    """Share of one CPU between the two readings of a sample."""
    now, before = sample["cpu_stats"], sample.get("precpu_stats") or {}
    used = now["cpu_usage"]["total_usage"] - before.get("cpu_usage", {}).get("total_usage", 0)
    system = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    cpus = now.get("online_cpus") or len(now["cpu_usage"].get("percpu_usage") or [1])
    return used / system * cpus * 100.0 if system > 0 and used > 0 else 0.0


def memory_used(memory: Sample) -> int:
    """Without the page cache that the kernel could drop (cgroup v1 and v2 name it differently)."""
    usage: int = memory.get("usage", 0)
    details = memory.get("stats") or {}
    for key in ("total_inactive_file", "inactive_file"):
        if key in details and details[key] < usage:
            return usage - int(details[key])
    return usage


def network_bytes(sample: Sample) -> tuple[int, int]:
    networks = (sample.get("networks") or {}).values()
    return sum(net["rx_bytes"] for net in networks), sum(net["tx_bytes"] for net in networks)


def block_bytes(sample: Sample) -> tuple[int, int]:
    read = written = 0
    for entry in (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ():
        operation = entry["op"].lower()
        read += entry["value"] if operation.startswith("r") else 0
        written += entry["value"] if operation.startswith("w") else 0
    return read, written


class Row:
    """The latest figures of one container."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        self.sample: Sample | None = None
        self.gone = False
        self.ready = threading.Event()

    def update(self, sample: Sample) -> None:
        self.sample = sample
        self.ready.set()

    def end(self) -> None:
        self.gone = True
        self.ready.set()


def _known(format_: Any) -> Any:
    def get(row: Row) -> str:
        return str(format_(row.sample)) if row.sample else "--"

    return get


def _memory_percent(sample: Sample) -> str:
    limit = sample["memory_stats"].get("limit") or 0
    return f"{memory_used(sample['memory_stats']) / limit * 100:.2f}%" if limit else "0.00%"


def _memory(sample: Sample) -> str:
    used, limit = memory_used(sample["memory_stats"]), sample["memory_stats"].get("limit", 0)
    return f"{quantity.bytes_size(used)} / {quantity.bytes_size(limit)}"


def _pair(amounts: tuple[int, int]) -> str:
    return " / ".join(quantity.human_size3(amount) for amount in amounts)


def stats_view(full: bool) -> View:
    def identity(row: Row) -> str:
        found: str = (row.sample or {}).get("id") or row.reference
        return found if full else short_id(found)

    return View(
        "statsContext",
        "ID Name CPUPerc MemUsage MemPerc NetIO BlockIO PIDs",
        {
            "Container": ("CONTAINER", lambda row: row.reference),
            "ID": ("CONTAINER ID", identity),
            "Name": ("NAME", _known(lambda sample: sample.get("name", "").removeprefix("/"))),
            "CPUPerc": ("CPU %", _known(lambda sample: f"{cpu_percent(sample):.2f}%")),
            "MemUsage": ("MEM USAGE / LIMIT", _known(_memory)),
            "MemPerc": ("MEM %", _known(_memory_percent)),
            "NetIO": ("NET I/O", _known(lambda sample: _pair(network_bytes(sample)))),
            "BlockIO": ("BLOCK I/O", _known(lambda sample: _pair(block_bytes(sample)))),
            "PIDs": ("PIDS", _known(lambda sample: sample.get("pids_stats", {}).get("current", 0))),
        },
    )


@command(
    "[OPTIONS] [CONTAINER...]",
    "Display a live stream of container(s) resource usage statistics",
    boolean("all", "Show all containers (default shows just running)", short="a"),
    string("format", FORMAT_USAGE),
    boolean("no-stream", "Disable streaming stats and only pull the first result"),
    boolean("no-trunc", "Do not truncate output"),
    arity=ANY,
)
def stats(session: Session, options: Options, arguments: list[str]) -> int:
    board = _Board(session.client, options, arguments)
    template = options["format"] or session.config.text("statsFormat")
    return board.run(stats_view(options["no-trunc"]), template)


class _Board:
    """The rows and the threads that fill them."""

    def __init__(self, client: Client, options: Options, names: list[str]) -> None:
        self._client, self._stream, self._all = client, not options["no-stream"], options["all"]
        self._follow = not names
        self._rows: dict[str, Row] = {}
        for name in names:
            client.container_inspect(name)
        for name in names or self._listed():
            self._add(name)

    def _listed(self) -> list[str]:
        return [record["Id"] for record in self._client.container_list(all=self._all)]

    def _add(self, name: str) -> None:
        row = self._rows[name] = Row(name if len(name) != 64 else short_id(name))
        threading.Thread(target=self._read, args=(name, row, self._client.clone()), daemon=True).start()

    def _read(self, name: str, row: Row, client: Client) -> None:
        try:
            for sample in client.container_stats(name, stream=self._stream):
                row.update(sample)
        except (NotFound, SampanError, OSError):
            row.end()
            return
        if self._stream:
            row.end()

    def run(self, view: View, template: str) -> int:
        deadline = time.monotonic() + FIRST_WAIT_SECONDS
        for row in list(self._rows.values()):
            row.ready.wait(max(0.0, deadline - time.monotonic()))
        if not self._stream:
            show(view, self._rows.values(), template)
            return 0
        live = sys.stdout.isatty() and template in ("", "table")
        while True:
            sys.stdout.write(CLEAR if live else "")
            show(view, self._rows.values(), template)
            sys.stdout.flush()
            time.sleep(INTERVAL_SECONDS)
            if not self._renew():
                return 0

    def _renew(self) -> bool:
        """Drop what has ended and, when all are shown, add what has started; False when nothing is left."""
        self._rows = {name: row for name, row in self._rows.items() if not row.gone}
        if self._follow:
            for name in self._listed():
                if name not in self._rows:
                    self._add(name)
        return self._follow or bool(self._rows)
