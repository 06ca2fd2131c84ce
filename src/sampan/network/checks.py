"""Checks of what a container asks of a network, with Docker's texts."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from ..errors import InvalidArgument
from ..linux.rtnetlink import mac_bytes
from ..model.container import EndpointSettings
from .ipam import IPAddress
from .options import endpoint_sysctls
from .spec import Network

ON_USER_DEFINED = "user specified IP address is supported on user defined networks only"
ON_CONFIGURED = "user specified IP address is supported only when connecting to networks with user configured subnets"
PREDEFINED_DRIVERS = ("null", "host")


def check_settings(network: Network, settings: EndpointSettings) -> None:
    """InvalidArgument that lists all faults."""
    faults = _address_faults(network, settings)
    user_defined = network.name not in ("bridge", "none", "host")
    if settings.aliases and not user_defined:
        faults.append("network-scoped aliases are only supported for user-defined networks")
    faults += _link_local_faults(settings)
    if settings.mac_address:
        try:
            mac_bytes(settings.mac_address)
        except ValueError:
            faults.append(f"invalid MAC address: {settings.mac_address}")
    try:
        endpoint_sysctls(settings.driver_opts, "eth0")
    except InvalidArgument as error:
        faults.append(str(error))
    if faults:
        lines = faults if len(faults) == 1 else [f"* {fault}" for fault in faults]
        raise InvalidArgument("invalid endpoint settings:\n" + "\n".join(lines))


def _link_local_faults(settings: EndpointSettings) -> list[str]:
    asked = (settings.ipam_config.link_local_ips if settings.ipam_config else None) or ()
    return [f"invalid link-local IP address: {text}" for text in asked if not _is_address(text)]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _address_faults(network: Network, settings: EndpointSettings) -> list[str]:
    wanted = settings.ipam_config
    texts = {4: wanted.ipv4_address, 6: wanted.ipv6_address} if wanted else {}
    if not any(texts.values()):
        return []
    faults = [] if network.name not in ("bridge", "none", "host") else [ON_USER_DEFINED]
    for version, text in texts.items():
        if text:
            faults += _address_fault(network, version, text)
    return list(dict.fromkeys(faults))


def _address_fault(network: Network, version: int, text: str) -> list[str]:
    try:
        address: IPAddress | None = ip_address(text)
    except ValueError:
        address = None
    faults = [] if address and address.version == version else [f"invalid IPv{version} address: {text}"]
    subnets = [ip_network(pool.subnet) for pool in network.ipam.config or () if pool.subnet]
    same = [subnet for subnet in subnets if subnet.version == version]
    if network.name in ("bridge", "none", "host") or not network.user_subnets or not same:
        return [*faults, ON_CONFIGURED]
    if address is None or not any(address in subnet for subnet in same):
        faults.append(f"no configured subnet or ip-range contain the IP address {text}")
    return faults
