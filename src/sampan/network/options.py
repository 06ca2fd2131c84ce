"""The options of bridge networks (`com.docker.network.…`) as typed values."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from msgspec import Struct

from ..errors import InvalidArgument

BRIDGE = "com.docker.network.bridge."
NAME = BRIDGE + "name"
ICC = BRIDGE + "enable_icc"
MASQUERADE = BRIDGE + "enable_ip_masquerade"
HOST_BINDING = BRIDGE + "host_binding_ipv4"
INHIBIT_IPV4 = BRIDGE + "inhibit_ipv4"
GATEWAY_MODE_IPV4 = BRIDGE + "gateway_mode_ipv4"
GATEWAY_MODE_IPV6 = BRIDGE + "gateway_mode_ipv6"
TRUSTED_INTERFACES = BRIDGE + "trusted_host_interfaces"
DEFAULT_BRIDGE = BRIDGE + "default_bridge"
MTU = "com.docker.network.driver.mtu"
INTERFACE_PREFIX = "com.docker.network.container_iface_prefix"
HOST_IPV4 = "com.docker.network.host_ipv4"
HOST_IPV6 = "com.docker.network.host_ipv6"
ENDPOINT_SYSCTLS = "com.docker.network.endpoint.sysctls"
ENDPOINT_INTERFACE = "com.docker.network.endpoint.ifname"

GATEWAY_MODES = ("nat", "nat-unprotected", "routed", "isolated")

# Go's strconv.ParseBool
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


class BridgeOptions(Struct, frozen=True):
    """`name` and `interface_prefix` may be empty, `mtu` 0 means the kernel's default."""

    name: str = ""
    icc: bool = True
    masquerade: bool = True
    host_binding: str = ""
    inhibit_ipv4: bool = False
    gateway_mode_ipv4: str = "nat"
    gateway_mode_ipv6: str = "nat"
    trusted_interfaces: tuple[str, ...] = ()
    mtu: int = 0
    interface_prefix: str = "eth"
    host_ipv4: str = ""
    host_ipv6: str = ""

    def gateway_mode(self, version: int) -> str:
        """The gateway mode of IP version 4 or 6."""
        return self.gateway_mode_ipv4 if version == 4 else self.gateway_mode_ipv6


def _boolean(label: str, text: str) -> bool:
    if text not in _BOOLEANS:
        raise InvalidArgument(
            f'failed to parse {label} value: {text} (strconv.ParseBool: parsing "{text}": invalid syntax)'
        )
    return _BOOLEANS[text]


def _mtu(label: str, text: str) -> int:
    if not text.lstrip("-").isdigit():
        raise InvalidArgument(f'failed to parse {label} value: {text} (strconv.Atoi: parsing "{text}": invalid syntax)')
    if int(text) < 0:
        raise InvalidArgument(f"failed to parse {label} value: {text} (invalid MTU number: {text})")
    return int(text)


def _mode(label: str, text: str) -> str:
    if text not in GATEWAY_MODES:
        raise InvalidArgument(f"failed to parse {label} value: {text} (unknown gateway mode {text})")
    return text


def _address(label: str, text: str) -> str:
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        raise InvalidArgument(f"failed to parse {label} value: {text} (nil ip)") from None


def interface_name(label: str, text: str) -> str:
    """The text, or InvalidArgument where no interface can have such a name."""
    # What the kernel takes: dev_valid_name() in net/core/dev.c
    if len(text.encode()) > 15 or text in (".", "..") or any(c in "/:" or c.isspace() for c in text):
        raise InvalidArgument(f"failed to parse {label} value: {text} (not an interface name)")
    return text


def _names(_: str, text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(":") if name)


_FIELDS = {
    NAME: ("name", interface_name),
    ICC: ("icc", _boolean),
    MASQUERADE: ("masquerade", _boolean),
    HOST_BINDING: ("host_binding", _address),
    INHIBIT_IPV4: ("inhibit_ipv4", _boolean),
    GATEWAY_MODE_IPV4: ("gateway_mode_ipv4", _mode),
    GATEWAY_MODE_IPV6: ("gateway_mode_ipv6", _mode),
    TRUSTED_INTERFACES: ("trusted_interfaces", _names),
    MTU: ("mtu", _mtu),
    INTERFACE_PREFIX: ("interface_prefix", interface_name),
    HOST_IPV4: ("host_ipv4", _address),
    HOST_IPV6: ("host_ipv6", _address),
}


def bridge_options(options: Mapping[str, str]) -> BridgeOptions:
    """Read the options; InvalidArgument with Docker's text for a bad value. Unknown labels are kept and ignored."""
    values = {}
    for label, text in options.items():
        if label in _FIELDS and not (text == "" and label != NAME):
            name, parse = _FIELDS[label]
            values[name] = parse(label, text)
    return BridgeOptions(**values)  # type: ignore[arg-type] # the table pairs names and parsers


def endpoint_sysctls(options: Mapping[str, str] | None, interface: str) -> list[tuple[str, str]]:
    """(path below /proc/sys, value) of an endpoint's `net.ipv4.conf.IFNAME.log_martians=1,…`."""
    settings = []
    for setting in filter(None, (options or {}).get(ENDPOINT_SYSCTLS, "").split(",")):
        name, equals, value = setting.partition("=")
        parts = name.strip().split(".")
        # The docker client writes options in lower case.
        known = len(parts) == 5 and parts[0] == "net" and parts[1] in ("ipv4", "ipv6", "mpls")
        if not known or not equals or parts[3] not in ("IFNAME", "ifname"):
            raise InvalidArgument(f"unrecognised network interface sysctl '{setting}'; represent 'net.X.Y.ethN.Z=V' as "
                                  "'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'")  # fmt: skip
        if parts[2] not in ("conf", "neigh") or "/" in parts[4]:
            raise InvalidArgument(f"unrecognised network interface sysctl '{setting}'")
        settings.append((f"net/{parts[1]}/{parts[2]}/{interface}/{parts[4]}", value.strip()))
    return settings
