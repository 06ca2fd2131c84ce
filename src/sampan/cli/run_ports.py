"""`-p` and `--expose` in all their forms: `[[ip:][host:]]container[-end][/protocol]`, and `key=value`."""

from __future__ import annotations

from .command import CommandFailed
from .run_values import is_address

Bindings = dict[str, list[dict[str, str]]]
PROTOCOLS = ("tcp", "udp", "sctp")


def _invalid(message: str) -> CommandFailed:
    return CommandFailed(message, 125)


def port_range(text: str, spec: str) -> tuple[int, int]:
    start, _, end = text.partition("-")
    if not start.isdigit() or (end and not end.isdigit()) or text.endswith("-"):
        raise _invalid(f"invalid containerPort: {text}" if text else f"no port specified: {spec}<empty>")
    low, high = int(start), int(end or start)
    if high < low or high > 65535:
        raise _invalid(f"invalid containerPort: {text}")
    return low, high


def split_protocol(text: str) -> tuple[str, str]:
    ports, _, protocol = text.partition("/")
    protocol = (protocol or "tcp").lower()
    if protocol not in PROTOCOLS:
        raise _invalid(f"invalid proto: {protocol}")
    return ports, protocol


def _split_parts(text: str) -> tuple[str, str, str]:
    """IP, host ports and container ports; an IPv6 address stands in brackets or has more than two colons."""
    head, colon, container = text.rpartition(":")
    if not colon:
        return "", "", text
    address, colon, host = head.rpartition(":")
    if not colon:
        return "", head, container
    return address.strip("[]"), host, container


def parse_publish(specs: list[str]) -> tuple[dict[str, dict[str, str]], Bindings]:
    """ExposedPorts and PortBindings of all `-p` flags."""
    exposed: dict[str, dict[str, str]] = {}
    bindings: Bindings = {}
    for spec in specs:
        expanded = _from_long_form(spec) if "=" in spec else spec
        for port, binding in _parse_one(expanded):
            exposed[port] = {}
            bindings.setdefault(port, []).append(binding)
    return exposed, bindings


def _parse_one(spec: str) -> list[tuple[str, dict[str, str]]]:
    rest, protocol = split_protocol(spec)
    address, host, container = _split_parts(rest)
    if address and not is_address(address):
        raise _invalid(f"invalid IP address: {address}")
    if not container:
        raise _invalid(f"no port specified: {spec}<empty>")
    low, high = port_range(container, spec)
    if not host:
        return [(f"{port}/{protocol}", {"HostIp": address, "HostPort": ""}) for port in range(low, high + 1)]
    try:
        host_low, host_high = port_range(host, spec)
    except CommandFailed:
        raise _invalid(f"invalid hostPort: {host}") from None
    if host_high - host_low != high - low:
        if low != high:
            raise _invalid(f"invalid ranges specified for container and host Ports: {container} and {host}")
        return [(f"{low}/{protocol}", {"HostIp": address, "HostPort": host})]
    return [
        (f"{low + offset}/{protocol}", {"HostIp": address, "HostPort": str(host_low + offset)})
        for offset in range(high - low + 1)
    ]


def _from_long_form(spec: str) -> str:
    values = {"protocol": "tcp", "published": "", "target": ""}
    names = {"target": "target", "published": "published", "protocol": "protocol", "mode": "mode"}
    for field in spec.split(","):
        key, _, value = field.partition("=")
        if key.strip().lower() not in names:
            raise _invalid(f"invalid field key {key}")
        values[names[key.strip().lower()]] = value.strip()
    host = f"{values['published']}:" if values["published"] else ""
    return f"{host}{values['target']}/{values['protocol']}"


def _exposed_range(text: str) -> tuple[int, int]:
    start, dash, end = text.partition("-")
    for number in (start, end) if dash else (start,):
        if not number.isdigit():
            raise ValueError(f'strconv.ParseUint: parsing "{number}": invalid syntax')
    low, high = int(start), int(end or start)
    if high < low:
        raise ValueError(f"invalid range specified for port: {text}")
    return low, high


def parse_expose(specs: list[str]) -> dict[str, dict[str, str]]:
    exposed: dict[str, dict[str, str]] = {}
    for spec in specs:
        if ":" in spec:
            raise _invalid(f"invalid port format for --expose: {spec}")
        ports, _, protocol = spec.partition("/")
        try:
            low, high = _exposed_range(ports)
        except ValueError as error:
            raise _invalid(f"invalid range format for --expose: {ports}, error: {error}") from None
        protocol = protocol.lower() or "tcp"
        exposed.update({f"{port}/{protocol}": {} for port in range(low, high + 1)})
    return exposed
