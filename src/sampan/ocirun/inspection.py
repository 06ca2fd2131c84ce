"""sampan-runc's commands that look at containers or change their limits."""

from __future__ import annotations

import json
import sys
import time

from ..linux import capabilities
from ..linux import seccomp as linux_seccomp
from ..model import quantity
from .arguments import FLAG, VALUE, Arguments, Incorrect, parse, table
from .failure import RuntimeFailed
from .lifecycle import one_id
from .namespaces import KINDS
from .options import CLEAR, PROPAGATION, RECURSIVE, SET
from .state import OCI_VERSION, State, all_states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .main import Globals

_COLUMNS = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")
# Flag → place in OCI linux.resources.
_LIMITS = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-burst": ("cpu", "burst"),
    "cpu-share": ("cpu", "shares"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "cpu-idle": ("cpu", "idle"),
    "cpuset-cpus": ("cpu", "cpus"),
    "cpuset-mems": ("cpu", "mems"),
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
    "pids-limit": ("pids", "limit"),
}
_TEXT = ("cpuset-cpus", "cpuset-mems")
_ACCEPTED = ("kernel-memory", "kernel-memory-tcp", "l3-cache-schema", "mem-bw-schema")


def show(value: Any) -> None:
    """Print JSON as runc prints state."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def state(options: Globals, words: list[str]) -> int:
    """`state <id>`"""
    show(State.load(options.root, one_id(parse(words, {}), "state")).document())
    return 0


def list_(options: Globals, words: list[str]) -> int:
    """`list [-f table|json] [-q]`"""
    arguments = parse(words, table((VALUE, ("format",)), (FLAG, ("quiet",))), {"f": "format", "q": "quiet"})
    documents = [{**found.document(), "owner": "root"} for found in all_states(options.root)]
    if arguments.flag("quiet"):
        sys.stdout.write("".join(f"{document['id']}\n" for document in documents))
    elif arguments.value("format") == "json":
        sys.stdout.write(json.dumps(documents) + "\n")
    elif arguments.value("format", "table") == "table":
        sys.stdout.write(_table([_COLUMNS, *([str(row[name.lower()]) for name in _COLUMNS] for row in documents)]))
    else:
        raise RuntimeFailed("invalid format option")
    return 0


def _table(rows: list[Any]) -> str:
    widths = [max(12, *(len(row[index]) + 3 for row in rows)) for index in range(len(_COLUMNS))]
    lines = ("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)


def ps(options: Globals, words: list[str]) -> int:
    """`ps [-f table|json] <id> [options of ps(1)]`"""
    arguments = parse(words, table((VALUE, ("format",))), {"f": "format"})
    if not arguments.rest:
        raise Incorrect('runc: "ps" requires a minimum of 1 argument(s)')
    found = State.load(options.root, arguments.rest[0])
    group = found.cgroup
    pids = group.pids() if group else [found.pid]
    if arguments.value("format", "table") == "json":
        sys.stdout.write(json.dumps(pids) + "\n")
        return 0
    return _ps_table(set(pids), arguments.rest[1:] or ["-ef"])


def _ps_table(pids: set[int], words: list[str]) -> int:
    import subprocess

    output = subprocess.run(["ps", *words], capture_output=True, text=True, check=True).stdout.splitlines()
    try:
        column = output[0].split().index("PID")
    except ValueError:
        raise RuntimeFailed("couldn't find PID field in ps output") from None
    for line in output:
        fields = line.split()
        if line is output[0] or (len(fields) > column and fields[column].isdigit() and int(fields[column]) in pids):
            print(line)
    return 0


def pause(options: Globals, words: list[str]) -> int:
    """`pause <id>`"""
    found = State.load(options.root, one_id(parse(words, {}), "pause"))
    if found.status() not in ("running", "created"):
        raise RuntimeFailed(f"container not running: {found.status()}")
    _group(found).freeze()
    return 0


def resume(options: Globals, words: list[str]) -> int:
    """`resume <id>`"""
    found = State.load(options.root, one_id(parse(words, {}), "resume"))
    if found.status() != "paused":
        raise RuntimeFailed("container not paused")
    _group(found).thaw()
    return 0


def _group(found: State) -> Any:
    group = found.cgroup
    if group is None:
        raise RuntimeFailed(f"container {found.id} has no control group")
    return group


def update(options: Globals, words: list[str]) -> int:
    """`update [limits] <id>`, or all from JSON with `-r`"""
    arguments = parse(words, table((VALUE, ("resources", *_LIMITS, *_ACCEPTED))), {"r": "resources"})
    found = State.load(options.root, one_id(arguments, "update"))
    resources = _resources(arguments)
    resources.pop("devices", None)
    options.warn(_group(found).update(resources))
    return 0


def _resources(arguments: Arguments) -> dict[str, Any]:
    source = arguments.value("resources")
    if source:
        text = sys.stdin.read() if source == "-" else _read(source)
        given: dict[str, Any] = json.loads(text)
        return given
    found: dict[str, Any] = {}
    for option, (section, key) in _LIMITS.items():
        if option in arguments.given:
            value: str | int = arguments.value(option) if option in _TEXT else arguments.number(option)
            found.setdefault(section, {})[key] = value
    return found


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def events(options: Globals, words: list[str]) -> int:
    """`events [--stats] [--interval 5s] <id>`: usage figures as JSON lines."""
    arguments = parse(words, table((VALUE, ("interval",)), (FLAG, ("stats",))))
    found = State.load(options.root, one_id(arguments, "events"))
    interval = quantity.parse_duration(arguments.value("interval", "5s")) / 1e9
    while True:
        if not found.is_alive():
            raise RuntimeFailed(f"container with id {found.id} is not running")
        sys.stdout.write(json.dumps({"type": "stats", "id": found.id, "data": _stats(found)}) + "\n")
        sys.stdout.flush()
        if arguments.flag("stats"):
            return 0
        time.sleep(interval)


def _stats(found: State) -> dict[str, Any]:
    stat = _group(found).stat()
    io = {"ioServiceBytesRecursive": stat.io_bytes, "ioServicedRecursive": stat.io_operations}
    return {
        "cpu": {
            "usage": {
                "total": stat.cpu_total,
                "percpu": stat.cpu_per_core,
                "kernel": stat.cpu_system,
                "user": stat.cpu_user,
            },
            "throttling": {
                "periods": stat.cpu_periods,
                "throttledPeriods": stat.cpu_throttled_periods,
                "throttledTime": stat.cpu_throttled_time,
            },
        },
        "memory": {
            "cache": stat.memory.get("cache", stat.memory.get("file", 0)),
            "usage": {
                "limit": stat.memory_limit or 2**63 - 4096,
                "usage": stat.memory_usage,
                "max": stat.memory_max_usage,
                "failcnt": stat.memory_failures,
            },
            "raw": stat.memory,
        },
        "pids": {"current": stat.pids_current, "limit": stat.pids_limit},
        "blkio": {
            name: [{"major": a, "minor": b, "op": operation, "value": value} for a, b, operation, value in entries]
            for name, entries in io.items()
        },
    }


def spec(_options: Globals, words: list[str]) -> int:
    """`spec [-b bundle] [--rootless]`: a configuration to start from."""
    arguments = parse(words, table((VALUE, ("bundle",)), (FLAG, ("rootless",))), {"b": "bundle"})
    from .example import configuration

    try:
        with open(f"{arguments.value('bundle', '.')}/config.json", "x", encoding="utf-8") as file:
            json.dump(configuration(rootless=arguments.flag("rootless")), file, indent="\t")
    except FileExistsError:
        raise RuntimeFailed("File config.json exists. Remove it first") from None
    return 0


def features(_options: Globals, words: list[str]) -> int:
    """`features`: what this runtime can do (features.md)."""
    parse(words, {})
    show(
        {
            "ociVersionMin": "1.0.0",
            "ociVersionMax": OCI_VERSION,
            "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
            "mountOptions": sorted({*SET, *CLEAR, *PROPAGATION, *RECURSIVE, "idmap", "ridmap", "tmpcopyup"}),
            "linux": {
                "namespaces": sorted(KINDS),
                "capabilities": list(capabilities.BITS),
                "cgroup": {"v1": True, "v2": True, "systemd": True, "systemdUser": False, "rdma": False},
                "seccomp": {
                    "enabled": True,
                    "actions": sorted(linux_seccomp.ACTIONS),
                    "operators": sorted(linux_seccomp.OPERATORS),
                    "archs": sorted(linux_seccomp.ARCHITECTURES),
                    "knownFlags": sorted(linux_seccomp.FLAGS),
                    "supportedFlags": sorted(linux_seccomp.FLAGS),
                },
                "apparmor": {"enabled": True},
                "selinux": {"enabled": True},
                "intelRdt": {"enabled": False},
                "mountExtensions": {"idmap": {"enabled": True}},
            },
            "annotations": {},
        }
    )
    return 0
