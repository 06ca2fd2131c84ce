"""Who has which name on which network."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Address, IPv6Address

from .endpoint import Endpoint


class Directory:
    """Names and addresses of all endpoints on user-defined networks; names are in lower case."""

    def __init__(self) -> None:
        self._names: defaultdict[tuple[str, str], list[Endpoint]] = defaultdict(list)
        self._addresses: dict[tuple[str, IPv4Address | IPv6Address], Endpoint] = {}
        self._listed: dict[str, list[str]] = {}
        self._turn = 0

    def add(self, endpoint: Endpoint) -> None:
        """List an endpoint under its names; one that is listed already is listed anew."""
        self.remove(endpoint)
        if not endpoint.names:
            return
        network = endpoint.network.network.id
        self._listed[endpoint.id] = [name.lower() for name in endpoint.names]
        for name in self._listed[endpoint.id]:
            self._names[network, name].append(endpoint)
        for address in endpoint.addresses:
            self._addresses[network, address.ip] = endpoint

    def remove(self, endpoint: Endpoint) -> None:
        """Forget an endpoint."""
        network = endpoint.network.network.id
        for name in self._listed.pop(endpoint.id, ()):
            holders = [held for held in self._names[network, name] if held.id != endpoint.id]
            if holders:
                self._names[network, name] = holders
            else:
                del self._names[network, name]
        for address in endpoint.addresses:
            held = self._addresses.get((network, address.ip))
            if held is not None and held.id == endpoint.id:
                del self._addresses[network, address.ip]

    def holders(self, network_id: str, name: str) -> list[Endpoint]:
        """The endpoints of that name, another one first each time."""
        found = self._names.get((network_id, name), [])
        if len(found) < 2:
            return found
        self._turn += 1
        start = self._turn % len(found)
        return found[start:] + found[:start]

    def at(self, network_id: str, address: IPv4Address | IPv6Address) -> Endpoint | None:
        """The endpoint that has the address."""
        return self._addresses.get((network_id, address))
