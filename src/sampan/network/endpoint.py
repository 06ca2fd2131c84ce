"""One container on one network, and the contract of network drivers."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Protocol

import msgspec
from msgspec import Struct, field

from ..model.container import EndpointSettings, PortMap
from .ipam import IPAddress, IPInterface
from .netns import Interface
from .store import Stored


class Endpoint(Struct):
    """`link` is the host's end where there is one, `interface` the name inside the container."""

    id: str
    network: Stored
    container_id: str
    container_name: str
    settings: EndpointSettings
    """As asked for."""
    interface: str = ""
    plugged: bool = False
    """The driver has linked it: there is something to undo."""
    mac: str = ""
    address4: IPInterface | None = None
    address6: IPInterface | None = None
    gateway4: IPAddress | None = None
    gateway6: IPAddress | None = None
    names: list[str] = field(default_factory=list)
    """Names that resolve to it on its network."""
    port_bindings: PortMap = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()

    @property
    def link(self) -> str:
        return f"vsp{self.id[:10]}"

    @property
    def addresses(self) -> tuple[IPInterface, ...]:
        return tuple(address for address in (self.address4, self.address6) if address is not None)

    def address(self, version: int) -> IPInterface | None:
        """The address of IP version 4 or 6."""
        return self.address4 if version == 4 else self.address6

    def gateway(self, version: int) -> IPAddress | None:
        """The gateway of IP version 4 or 6."""
        return self.gateway4 if version == 4 else self.gateway6

    def shown(self) -> EndpointSettings:
        """What was asked for with what was given, as `inspect` shows it."""
        four, six = self.address4, self.address6
        return msgspec.structs.replace(
            self.settings,
            network_id=self.network.network.id,
            endpoint_id=self.id,
            mac_address=self.mac,
            gateway=str(self.gateway4 or "") if four else "",
            ip_address=str(four.ip) if four else "",
            ip_prefix_len=four.network.prefixlen if four else 0,
            ipv6_gateway=str(self.gateway6 or "") if six else "",
            global_ipv6_address=str(six.ip) if six else "",
            global_ipv6_prefix_len=six.network.prefixlen if six else 0,
            dns_names=self.names or None,
        )


def mac_of(address: str | IPAddress) -> str:
    """The MAC address made from an IP address, so that neighbours that knew its last holder need not learn anew."""
    return "02:42:" + ip_address(str(address)).packed[-4:].hex(":")


class Driver(Protocol):
    """A kind of network. `plug` puts a link into the namespace and says how to set it up; nothing is up yet."""

    async def create(self, stored: Stored) -> None:
        """Make what the network needs on the host; may set `stored.made_link`."""

    async def restore(self, stored: Stored) -> None:
        """The same after a restart: whatever is there already stays."""

    async def remove(self, stored: Stored) -> None:
        """Undo `create`."""

    async def plug(self, endpoint: Endpoint, netns_fd: int) -> Interface:
        """Link the container to the network; a failure leaves nothing."""

    def publishes(self, endpoint: Endpoint) -> None:
        """Ports of the container are published by its address on this network."""

    async def bind_anew(self, endpoint: Endpoint, bindings: PortMap) -> None:
        """Other ports are to be published; for drivers that do it by themselves."""

    def abandon(self, endpoint: Endpoint) -> None:
        """The container has ended: its link must not get in the way of the next one's, should its namespace last."""

    async def unplug(self, endpoint: Endpoint, netns_fd: int) -> None:
        """Undo `plug` in a container that goes on running."""
