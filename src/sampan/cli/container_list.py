"""`ps`, `port` and `top`."""

from __future__ import annotations

import sys

from ..model import quantity
from ..rpc import documents
from . import filtering, timestamps
from .command import CommandFailed, at_least, between, command
from .flags import Options, boolean, filters, integer, string
from .tabular import View, align, show
from .usage import FORMAT_USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .session import Session

    Record = dict[str, Any]

COMMAND_WIDTH = 20
NAME_WIDTH = 15
ELLIPSIS = "…"


def ellipsis(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + ELLIPSIS


def short_id(identity: str) -> str:
    return identity.removeprefix("sha256:")[:12]


def quoted(text: str) -> str:
    """Go's %q, near enough for command lines."""
    return documents.dumps(text)


def _size(record: Record) -> str:
    size = quantity.human_size3(record.get("SizeRw") or 0)
    virtual = record.get("SizeRootFs") or 0
    return f"{size} (virtual {quantity.human_size3(virtual)})" if virtual > 0 else size


def _image(record: Record, full: bool) -> str:
    image: str = record.get("Image", "")
    if not image:
        return "<no image>"
    if not full and short_id(record.get("ImageID", "")) == short_id(image):
        return short_id(image)
    return image


def _names(record: Record, full: bool) -> str:
    names = [name.removeprefix("/") for name in record.get("Names") or ()]
    # Names with another slash are links' aliases, which only --no-trunc shows.
    return ",".join(name for name in names if full or "/" not in name)


def _mounts(record: Record, full: bool) -> str:
    names = [mount.get("Name") or mount.get("Source", "") for mount in record.get("Mounts") or ()]
    return ",".join(name if full else ellipsis(name, NAME_WIDTH) for name in names)


def _labels(record: Record) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((record.get("Labels") or {}).items()))


def _label(record: Record) -> Any:
    return lambda name: (record.get("Labels") or {}).get(name, "")


def _local_volumes(record: Record) -> str:
    return str(sum(1 for mount in record.get("Mounts") or () if mount.get("Driver") == "local"))


def _platform(record: Record) -> str | None:
    found = (record.get("ImageManifestDescriptor") or {}).get("platform")
    return "/".join(part for part in (found.get("os"), found.get("architecture")) if part) if found else None


def container_view(full: bool, size: bool) -> View:
    def command_of(record: Record) -> str:
        text: str = record.get("Command", "")
        return quoted(text if full else ellipsis(text, COMMAND_WIDTH))

    table = "ID Image Command RunningFor Status Ports Names" + (" Size" if size else "")
    raw_fields = {
        "container_id": "ID",
        "image": "Image",
        "command": "Command",
        "created_at": "CreatedAt",
        "state": "State",
        "status": "Status",
        "names": "Names",
        "labels": "Labels",
        "ports": "Ports",
        **({"size": "Size"} if size else {}),
    }
    raw = "".join(f"{name}: {{{{- pad .{field} 1 0}}}}\n" for name, field in raw_fields.items())
    return View(
        "ContainerContext",
        table,
        {
            "ID": ("CONTAINER ID", lambda record: record["Id"] if full else short_id(record["Id"])),
            "Names": ("NAMES", lambda record: _names(record, full)),
            "Image": ("IMAGE", lambda record: _image(record, full)),
            "Command": ("COMMAND", command_of),
            "CreatedAt": ("CREATED AT", lambda record: timestamps.local_time(record["Created"])),
            "RunningFor": ("CREATED", lambda record: timestamps.ago(record["Created"])),
            "Ports": ("PORTS", lambda record: display_ports(record.get("Ports") or [])),
            "State": ("STATE", lambda record: record.get("State", "")),
            "Status": ("STATUS", lambda record: record.get("Status", "")),
            "Size": ("SIZE", _size),
            "Labels": ("LABELS", _labels),
            "Label": ("", _label),
            "Mounts": ("MOUNTS", lambda record: _mounts(record, full)),
            "LocalVolumes": ("LOCAL VOLUMES", _local_volumes),
            "Networks": ("NETWORKS", _networks),
            "Platform": ("PLATFORM", _platform),
        },
        quiet="ID",
        raw=raw,
    )


def _networks(record: Record) -> str:
    return ",".join((record.get("NetworkSettings") or {}).get("Networks") or {})


@command(
    "[OPTIONS]",
    "List containers",
    boolean("all", "Show all containers (default shows just running)", short="a"),
    filters("filter", "Filter output based on conditions provided", short="f"),
    string("format", FORMAT_USAGE),
    integer("last", "Show n last created containers (includes all states)", short="n", default=-1),
    boolean("latest", "Show the latest created container (includes all states)", short="l"),
    boolean("no-trunc", "Don't truncate output"),
    boolean("quiet", "Only display container IDs", short="q"),
    boolean("size", "Display total file sizes", short="s"),
)
def ls(session: Session, options: Options, arguments: list[str]) -> int:
    template = options["format"] or ("" if options["quiet"] else session.config.text("psFormat"))
    with_size = options["size"] or ("size" not in options.changed and ".Size" in template)
    records = session.client.container_list(
        all=options["all"],
        limit=1 if options["latest"] else options["last"] if options["last"] > 0 else None,
        size=with_size,
        filters=filtering.parse(options["filter"]),
    )
    show(container_view(options["no-trunc"], options["size"]), records, template, options["quiet"])
    return 0


def display_ports(ports: list[Record]) -> str:
    """`0.0.0.0:9000-9002->9000-9002/udp, [::]:80->80/tcp`: neighbours of one address become a range."""
    texts: list[str] = []
    ordered = sorted(ports, key=_port_order)
    groups: dict[tuple[str, str, bool], list[tuple[int, int]]] = {}
    for port in ordered:
        private, public = port["PrivatePort"], port.get("PublicPort") or 0
        if public and public != private:
            texts.append(f"{address(port.get('IP', ''))}:{public}->{private}/{port['Type']}")
            continue
        runs = groups.setdefault((port.get("IP", ""), port["Type"], bool(public)), [])
        if runs and runs[-1][1] + 1 == private:
            runs[-1] = (runs[-1][0], private)
        else:
            runs.append((private, private))
    grouped = [_port_run(key, run) for key, runs in groups.items() for run in runs]
    return ", ".join(grouped + texts)


def _port_order(port: Record) -> tuple[int, str, int, str]:
    return port["PrivatePort"], port.get("IP", ""), port.get("PublicPort") or 0, port["Type"]


def _port_run(key: tuple[str, str, bool], run: tuple[int, int]) -> str:
    ip, protocol, published = key
    text = str(run[0]) if run[0] == run[1] else f"{run[0]}-{run[1]}"
    return f"{address(ip)}:{text}->{text}/{protocol}" if published else f"{text}/{protocol}"


def address(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip


@command(
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List port mappings or a specific mapping for the container",
    arity=between(1, 2),
)
def port(session: Session, options: Options, arguments: list[str]) -> int:
    found = session.client.container_inspect(arguments[0])
    ports: dict[str, list[Record] | None] = found["NetworkSettings"].get("Ports") or {}
    if len(arguments) == 2:
        wanted = arguments[1] if "/" in arguments[1] else f"{arguments[1]}/tcp"
        if not wanted.partition("/")[0].isdigit():
            raise CommandFailed(f"Error: invalid port ({arguments[1]})")
        bindings = ports.get(wanted)
        if bindings is None:
            raise CommandFailed(f"Error: No public port '{arguments[1]}' published for {arguments[0]}")
        lines = [_binding(binding) for binding in bindings]
    else:
        pairs = [(name, binding) for name, bindings in ports.items() for binding in bindings or ()]
        lines = [f"{name} -> {_binding(binding)}" for name, binding in sorted(pairs, key=_binding_order)]
    sys.stdout.write("".join(line + "\n" for line in lines))
    return 0


def _binding(binding: Record) -> str:
    return f"{address(binding['HostIp'])}:{binding['HostPort']}"


def _binding_order(pair: tuple[str, Record]) -> tuple[int, str]:
    return int(pair[0].partition("/")[0]), pair[0]


@command(
    "CONTAINER [ps OPTIONS]", "Display the running processes of a container", arity=at_least(1), interspersed=False
)
def top(session: Session, options: Options, arguments: list[str]) -> int:
    found = session.client.container_top(arguments[0], " ".join(arguments[1:]) or None)
    rows = [found["Titles"], *found["Processes"]]
    # Docker's tab stops of 20 columns, cells included.
    sys.stdout.write(align("".join("\t".join(row) + "\n" for row in rows), minimum=20))
    return 0
