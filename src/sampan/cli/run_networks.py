"""`--network` in its short and long form, with the flags that describe the endpoint."""

from __future__ import annotations

from typing import Any

from .command import CommandFailed
from .flags import FlagError, Options
from .key_values import fields

Json = dict[str, Any]
MODES = ("none", "host", "default")


def _networks(options: Options) -> list[str]:
    return [*options["net"], *options["network"]]


def _name(text: str) -> str:
    if "=" not in text:
        return text
    return next((value for key, value, _ in fields(text) if key == "name"), "")


def network_mode(options: Options) -> str:
    networks = _networks(options)
    return _name(networks[0]) if networks else "default"


def networking(options: Options) -> Json:
    """EndpointsConfig; the flags without a network in their name belong to the first one."""
    endpoints: Json = {}
    networks = _networks(options) or ["default"]
    for position, text in enumerate(networks):
        name = _name(text)
        if not name:
            raise FlagError(f'invalid argument "{text}" for "--network" flag: name is required')
        if name in endpoints:
            raise CommandFailed(f'network "{name}" is specified multiple times', 125)
        endpoint = _long_form(text) if "=" in text else {}
        if position == 0:
            _from_flags(endpoint, options, name)
        endpoints[name] = endpoint
    if len(endpoints) > 1 and any(name in MODES or name.startswith("container:") for name in endpoints):
        raise CommandFailed(
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes", 125
        )
    return {name: endpoint or {} for name, endpoint in endpoints.items() if _sent(name, endpoint)}


def _sent(name: str, endpoint: Json) -> bool:
    return name not in ("host", "none") and not name.startswith("container:") and (bool(endpoint) or name != "default")


def _from_flags(endpoint: Json, options: Options, name: str) -> None:
    aliases = [*options["net-alias"], *options["network-alias"]]
    if aliases:
        if name in MODES:
            raise CommandFailed("network-scoped aliases are only supported for user-defined networks", 125)
        endpoint["Aliases"] = [*endpoint.get("Aliases", ()), *aliases]
    if options["link"] and name not in (*MODES, "bridge"):
        endpoint["Links"] = options["link"]
    if options["mac-address"] and name not in MODES:
        endpoint["MacAddress"] = options["mac-address"]
    ipam = {"IPv4Address": options["ip"], "IPv6Address": options["ip6"], "LinkLocalIPs": options["link-local-ip"]}
    given = {key: value for key, value in ipam.items() if value}
    if given:
        endpoint["IPAMConfig"] = {**endpoint.get("IPAMConfig", {}), **given}


def _long_form(text: str) -> Json:
    endpoint: Json = {}
    for key, value, _ in fields(text):
        if key == "alias":
            endpoint.setdefault("Aliases", []).append(value)
        elif key == "ip":
            endpoint.setdefault("IPAMConfig", {})["IPv4Address"] = value
        elif key == "ip6":
            endpoint.setdefault("IPAMConfig", {})["IPv6Address"] = value
        elif key == "link-local-ip":
            endpoint.setdefault("IPAMConfig", {}).setdefault("LinkLocalIPs", []).append(value)
        elif key == "mac-address":
            endpoint["MacAddress"] = value
        elif key == "driver-opt":
            name, _, option = value.partition("=")
            endpoint.setdefault("DriverOpts", {})[name] = option
        elif key == "gw-priority":
            endpoint["GwPriority"] = int(value)
        elif key != "name":
            raise FlagError(f'invalid argument "{text}" for "--network" flag: invalid field key {key}')
    return endpoint
