"""What one container sees in the DNS: the names on its networks, its links, its host, and the world outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Protocol

from .directory import Directory
from .endpoint import Endpoint
from .forwarder import Forwarder
from .ipam import IPAddress
from .peernames import PeerNames

HOST_NAMES = ("host.docker.internal", "gateway.docker.internal")


class Sees(Protocol):
    """The container's side that a zone follows as it changes."""

    @property
    def named_endpoints(self) -> Sequence[Endpoint]:
        """Its endpoints on networks that have names."""

    @property
    def reaches_out(self) -> bool:
        """Whether it has a default route: on internal networks alone, questions stay inside (S27)."""


class ContainerZone:
    """See `resolver.Zone`."""

    def __init__(
        self,
        sees: Sees,
        directory: Directory,
        peers: PeerNames,
        forwarder: Forwarder,
        host_gateways: Callable[[], Sequence[str]],
    ) -> None:
        self._peers = peers
        self._sees = sees
        self._directory = directory
        self._forwarder = forwarder
        self._host_gateways = host_gateways

    def addresses(self, name: str) -> list[IPAddress] | None:
        """The addresses of a name; None where the name is not ours."""
        for endpoint in self._sees.named_endpoints:
            network = endpoint.network.network
            short = name.removesuffix(f".{network.name.lower()}")
            short = _links(endpoint).get(short, short)
            for wanted in dict.fromkeys((name, short)):
                holders = self._directory.holders(network.id, wanted)
                if holders:
                    return [address.ip for holder in holders for address in holder.addresses]
        return self._host(name) if name in HOST_NAMES else None

    def _host(self, name: str) -> list[IPAddress]:
        if self._sees.reaches_out:
            return [ip_address(text) for text in self._host_gateways()]
        own = (endpoint.network.pools.gateway(4) for endpoint in self._sees.named_endpoints)
        return [address for address in own if address is not None][:1]

    def name(self, address: IPAddress) -> str | None:
        """The name of an address; "" where the address is ours but has none, None where it is not ours."""
        ours = False
        for endpoint in self._sees.named_endpoints:
            network = endpoint.network.network
            holder = self._directory.at(network.id, address)
            if holder is not None:
                return f"{holder.container_name}.{network.name}"
            ours = ours or any(address in pool for pool in endpoint.network.pools)
        return "" if ours else None

    def asks_peers(self, name: str) -> bool:
        """Whether hosts of an overlay network may know the name."""
        return any(self._peers.shares(network_id) for network_id, _ in self._on_networks(name))

    async def remote(self, name: str) -> list[IPAddress]:
        """The addresses that a peer knows."""
        for network_id, short in self._on_networks(name):
            found = await self._peers.ask(network_id, short)
            if found:
                return found
        return []

    def _on_networks(self, name: str) -> list[tuple[str, str]]:
        networks = [endpoint.network.network for endpoint in self._sees.named_endpoints]
        shortened = [(network.id, name.removesuffix(f".{network.name.lower()}")) for network in networks]
        # A name with dots is some other domain's.
        return [(network_id, short) for network_id, short in shortened if "." not in short]

    def forwarder(self) -> Forwarder | None:
        """Who asks outside; None on internal networks."""
        return self._forwarder if self._sees.reaches_out else None


def _links(endpoint: Endpoint) -> dict[str, str]:
    found = {}
    for text in endpoint.settings.links or ():
        target, _, alias = text.partition(":")
        found[(alias or target).lower()] = target.lower()
    return found
