"""`network ls/create/connect/disconnect/rm`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sampan.errors import NotFound

from . import filtering, timestamps
from .command import CommandFailed, at_least, command, exactly
from .container_list import short_id
from .each import each
from .flags import Options, boolean, filters, integer, many, mapping, string, strings
from .key_values import pairs
from .tabular import View, show
from .usage import FORMAT_USAGE

if TYPE_CHECKING:
    from .session import Session

Record = dict[str, Any]


def lower(value: object) -> str:
    return "true" if value else "false"


def label_text(labels: dict[str, str] | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def network_view(full: bool) -> View:
    return View(
        "networkContext",
        "ID Name Driver Scope",
        {
            "ID": ("NETWORK ID", lambda record: record["Id"] if full else short_id(record["Id"])),
            "Name": ("NAME", lambda record: record["Name"]),
            "Driver": ("DRIVER", lambda record: record["Driver"]),
            "Scope": ("SCOPE", lambda record: record["Scope"]),
            "IPv4": ("IPV4", lambda record: lower(record.get("EnableIPv4"))),
            "IPv6": ("IPV6", lambda record: lower(record.get("EnableIPv6"))),
            "Internal": ("INTERNAL", lambda record: lower(record.get("Internal"))),
            "Labels": ("LABELS", lambda record: label_text(record.get("Labels"))),
            "Label": ("", lambda record: lambda name: (record.get("Labels") or {}).get(name, "")),
            "CreatedAt": ("CREATED AT", lambda record: _created(record["Created"])),
        },
    )


def _created(text: str) -> str:
    """Go's default form keeps the fraction."""
    _, dot, fraction = text.rstrip("Z").partition(".")
    seconds = timestamps.seconds_of(text)
    shown = timestamps.local_time(seconds)
    if not dot:
        return shown
    digits = fraction.split("+")[0].split("-")[0]
    return shown[:19] + "." + digits + shown[19:]


@command(
    "[OPTIONS]",
    "List networks",
    filters("filter", 'Provide filter values (e.g. "driver=bridge")', short="f"),
    string("format", FORMAT_USAGE),
    boolean("no-trunc", "Do not truncate the output"),
    boolean("quiet", "Only display network IDs", short="q"),
)
def ls(session: Session, options: Options, arguments: list[str]) -> int:
    found = session.client.network_list(filtering.parse(options["filter"]))
    template = options["format"] or ("" if options["quiet"] else session.config.text("networksFormat"))
    ordered = sorted(found, key=lambda network: network["Name"])
    show(network_view(options["no-trunc"]), ordered, template, options["quiet"])
    return 0


@command(
    "[OPTIONS] NETWORK",
    "Create a network",
    boolean("attachable", "Enable manual container attachment"),
    mapping("aux-address", "Auxiliary IPv4 or IPv6 addresses used by Network driver (default map[])"),
    string("config-from", "The network from which to copy the configuration"),
    boolean("config-only", "Create a configuration only network"),
    string("driver", "Driver to manage the Network", short="d", default="bridge"),
    strings("gateway", "IPv4 or IPv6 Gateway for the master subnet"),
    boolean("ingress", "Create swarm routing-mesh network"),
    boolean("internal", "Restrict external access to the network"),
    strings("ip-range", "Allocate container ip from a sub-range"),
    string("ipam-driver", "IP Address Management Driver", default="default"),
    mapping("ipam-opt", "Set IPAM driver specific options (default map[])"),
    boolean("ipv4", "Enable or disable IPv4 address assignment", default=True),
    boolean("ipv6", "Enable or disable IPv6 address assignment"),
    many("label", "Set metadata on a network"),
    mapping("opt", "Set driver specific options (default map[])", short="o"),
    string("scope", "Control the network's scope"),
    strings("subnet", "Subnet in CIDR format that represents a network segment"),
    arity=exactly(1),
)
def create(session: Session, options: Options, arguments: list[str]) -> int:
    config: Record = {
        "Name": arguments[0],
        "Driver": options["driver"],
        "Options": pairs(options["opt"]),
        "IPAM": {
            "Driver": options["ipam-driver"],
            "Config": ipam_config(options),
            "Options": pairs(options["ipam-opt"]),
        },
        "Internal": options["internal"],
        "Ingress": options["ingress"],
        "Attachable": options["attachable"],
        "ConfigOnly": options["config-only"],
        "Scope": options["scope"],
        "Labels": pairs(options["label"]),
        **({"EnableIPv4": options["ipv4"]} if "ipv4" in options.changed else {}),
        **({"EnableIPv6": options["ipv6"]} if "ipv6" in options.changed else {}),
    }
    if options["config-from"]:
        config["ConfigFrom"] = {"Network": options["config-from"]}
    created = session.client.network_create(config)
    if created.get("Warning"):
        session.warn(f"WARNING: {created['Warning']}")
    session.say(created["Id"])
    return 0


def ipam_config(options: Options) -> list[Record]:
    """One entry per subnet; ranges, gateways and auxiliary addresses go to the subnet that holds them."""
    from ipaddress import ip_address, ip_network

    subnets = options["subnet"]
    if not subnets and (options["ip-range"] or options["gateway"]):
        raise CommandFailed("every ip-range or gateway must have a corresponding subnet", 1)
    entries: list[Record] = [{"Subnet": subnet} for subnet in subnets]

    def entry_of(text: str, what: str) -> Record:
        try:
            wanted = ip_address(text.partition("/")[0])
            return next(entry for entry in entries if wanted in ip_network(entry["Subnet"], strict=False))
        except (ValueError, StopIteration):
            raise CommandFailed(f"no matching subnet for {what} {text}") from None

    for text in options["ip-range"]:
        entry_of(text, "range")["IPRange"] = text
    for text in options["gateway"]:
        entry_of(text, "gateway")["Gateway"] = text
    for name, text in pairs(options["aux-address"]).items():
        entry_of(text, "aux-address").setdefault("AuxiliaryAddresses", {})[name] = text
    return entries


@command(
    "[OPTIONS] NETWORK CONTAINER",
    "Connect a container to a network",
    strings("alias", "Add network-scoped alias for the container"),
    strings("driver-opt", "driver options for the network"),
    integer("gw-priority", "Highest gw-priority provides the default gateway. Accepts positive and negative values."),
    string("ip", 'IPv4 address (e.g., "172.30.100.104")'),
    string("ip6", 'IPv6 address (e.g., "2001:db8::33")'),
    many("link", "Add link to another container"),
    strings("link-local-ip", "Add a link-local address for the container"),
    arity=exactly(2),
)
def connect(session: Session, options: Options, arguments: list[str]) -> int:
    ipam = {"IPv4Address": options["ip"], "IPv6Address": options["ip6"], "LinkLocalIPs": options["link-local-ip"]}
    settings: Record = {
        "IPAMConfig": {key: value for key, value in ipam.items() if value},
        "Links": options["link"],
        "Aliases": options["alias"],
        "DriverOpts": pairs(options["driver-opt"]),
        "GwPriority": options["gw-priority"],
    }
    session.client.network_connect(arguments[0], arguments[1], settings)
    return 0


@command(
    "[OPTIONS] NETWORK CONTAINER",
    "Disconnect a container from a network",
    boolean("force", "Force the container to disconnect from a network", short="f"),
    arity=exactly(2),
)
def disconnect(session: Session, options: Options, arguments: list[str]) -> int:
    session.client.network_disconnect(arguments[0], arguments[1], options["force"])
    return 0


@command(
    "NETWORK [NETWORK...]",
    "Remove one or more networks",
    boolean("force", "Do not error if the network does not exist", short="f"),
    arity=at_least(1),
)
def rm(session: Session, options: Options, arguments: list[str]) -> int:
    def remove(name: str) -> None:
        try:
            session.client.network_remove(name)
        except NotFound:
            if not options["force"]:
                raise
        else:
            session.say(name)

    try:
        return each(session, arguments, remove, echo=False)
    except CommandFailed as error:
        raise CommandFailed(f"{error}\nexit status 1", 1) from error
