"""`--network` in its short and long form, with the flags that describe the endpoint."""

from __future__ import annotations

from .command import CommandFailed
from .flags import Options
from .key_values import fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Json = dict[str, Any]

MODES = ("none", "host", "default")

_FROM_FLAGS = (
    ("network-alias", "Aliases", "--network-alias and per-network alias"),
    ("link", "Links", "--link and per-network links"),
    ("mac-address", "MacAddress", "--mac-address and per-network MAC address"),
)
_ADDRESSES = (
    ("ip", "IPv4Address", "--ip and per-network IPv4 address"),
    ("ip6", "IPv6Address", "--ip6 and per-network IPv6 address"),
    ("link-local-ip", "LinkLocalIPs", "--link-local-ip and per-network link-local IP addresses"),
)


def is_user_defined(name: str) -> bool:
    return name not in (*MODES, "bridge") and not name.startswith("container:")


def network_mode(options: Options) -> str:
    networks = options["network"]
    return networks[0][0] if networks else "default"


def networking(options: Options) -> Json:
    """EndpointsConfig; the flags without a network in their name belong to the first one."""
    endpoints: Json = {}
    for position, (name, given) in enumerate(options["network"] or [("default", {})]):
        if not name:
            raise CommandFailed("no name set for network", 125)
        if name in endpoints:
            raise CommandFailed(f'network "{name}" is specified multiple times', 125)
        endpoints[name] = _with_flags(given, options, name) if position == 0 else given
    if len({is_user_defined(name) for name in endpoints}) > 1:
        raise CommandFailed(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes", 125
        )
    return {name: endpoint for name, endpoint in endpoints.items() if endpoint or is_user_defined(name)}


def _with_flags(given: Json, options: Options, name: str) -> Json:
    if options["network-alias"] and name in MODES:
        raise CommandFailed("network-scoped aliases are only supported for user-defined networks", 125)
    endpoint = dict(given)
    _merge(endpoint, options, [row for row in _FROM_FLAGS if row[0] != "link" or is_user_defined(name)])
    ipam = dict(endpoint.get("IPAMConfig", {}))
    _merge(ipam, options, _ADDRESSES)
    if ipam:
        endpoint["IPAMConfig"] = ipam
    return endpoint


def _merge(target: Json, options: Options, table: Iterable[tuple[str, str, str]]) -> None:
    for flag, field, both in table:
        if options[flag] and target.get(field):
            raise CommandFailed(f"conflicting options: cannot specify both {both}", 125)
        if options[flag]:
            target[field] = options[flag]


def parse_network(text: str) -> tuple[str, Json]:
    """`name`, or `name=…,alias=…,ip=…` → (name, endpoint); ValueError in the words of Docker's client."""
    if "=" not in text:
        return text, {}
    endpoint: Json = {}
    name = ""
    for key, value, _ in fields(text):
        if key == "name":
            name = value
        elif key in _SETTERS:
            _SETTERS[key](endpoint, value)
        else:
            raise ValueError(f"invalid field key {key}")
    if not name:
        raise ValueError("network name/id is not specified")
    return name, endpoint


def _set_option(endpoint: Json, text: str) -> None:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("invalid key value pair format in driver options")
    endpoint.setdefault("DriverOpts", {})[name] = value


def _set_address(field: str) -> Callable[[Json, str], None]:
    return lambda endpoint, text: endpoint.setdefault("IPAMConfig", {}).update({field: text})


_SETTERS: dict[str, Callable[[Json, str], None]] = {
    "alias": lambda endpoint, text: endpoint.setdefault("Aliases", []).append(text),
    "ip": _set_address("IPv4Address"),
    "ip6": _set_address("IPv6Address"),
    "link-local-ip": lambda endpoint, text: (
        endpoint.setdefault("IPAMConfig", {}).setdefault("LinkLocalIPs", []).append(text)
    ),
    "mac-address": lambda endpoint, text: endpoint.update(MacAddress=text),
    "driver-opt": _set_option,
    "gw-priority": lambda endpoint, text: endpoint.update(GwPriority=int(text)),
}
