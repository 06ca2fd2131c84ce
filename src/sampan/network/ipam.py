"""Address management: pools of one network, and subnets for new networks.

Which addresses are taken is a matter of live endpoints, which the engine records: `Networks.restore` marks them again
after a restart, so that nothing is ever leaked on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

from ..errors import Conflict, Forbidden, InvalidArgument
from .config import AddressPool
from .spec import IPAMPool

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network

DEFAULT_POOLS = (
    AddressPool("172.17.0.0/16", 16),
    AddressPool("172.18.0.0/16", 16),
    AddressPool("172.19.0.0/16", 16),
    AddressPool("172.20.0.0/14", 16),
    AddressPool("172.24.0.0/14", 16),
    AddressPool("172.28.0.0/14", 16),
    AddressPool("192.168.0.0/16", 20),
    AddressPool("10.192.0.0/10", 24),
)
"""Docker's 31 subnets, then 16384 more: networks do not run out (wanted.md 20)."""

OVERLAP = "invalid pool request: Pool overlaps with other one on this address space"


class Pool:
    """The addresses of one subnet of one network: the lowest free one is given first."""

    def __init__(self, config: IPAMPool) -> None:
        self.config = config
        self.subnet: IPNetwork = ip_network(config.subnet)
        self.range: IPNetwork = ip_network(config.ip_range) if config.ip_range else self.subnet
        self.gateway: IPAddress | None = ip_address(config.gateway) if config.gateway else None
        first, last = int(self.range.network_address), int(self.range.broadcast_address)
        bottom, top = int(self.subnet.network_address), int(self.subnet.broadcast_address)
        self._taken = {int(ip_address(text)) for text in (config.auxiliary_addresses or {}).values()}
        if self.subnet.max_prefixlen - self.subnet.prefixlen > 1:
            # RFC 4291 2.6.1: an IPv6 subnet's first address is the routers' anycast one; IPv4's last is broadcast.
            first = max(first, bottom + 1)
            last = min(last, top - (self.subnet.version == 4))
            self._taken |= {bottom, top} if self.subnet.version == 4 else {bottom}
        self._first, self._last, self._next = first, last, first
        if self.gateway is not None:
            self._taken.add(int(self.gateway))

    def __contains__(self, address: IPAddress) -> bool:
        return address in self.subnet

    def interface(self, address: IPAddress) -> IPInterface:
        """An address with the subnet's prefix length."""
        return ip_interface((address, self.subnet.prefixlen))

    def take(self, address: IPAddress) -> IPInterface:
        """That address; Conflict when it is in use."""
        if int(address) in self._taken:
            raise Conflict("Address already in use")
        self._taken.add(int(address))
        return self.interface(address)

    def take_any(self) -> IPInterface | None:
        """The lowest free address of the range, or None."""
        number = self._next
        while number in self._taken:
            number += 1
        if number > self._last:
            return None
        self._next = number + 1
        self._taken.add(number)
        return self.interface(type(self.subnet.network_address)(number))

    def release(self, address: IPAddress) -> None:
        """Give an address back; one that is free stays free."""
        number = int(address)
        self._taken.discard(number)
        if self._first <= number < self._next:
            self._next = number


class Pools:
    """The pools of one network, per address family."""

    def __init__(self, configs: Iterable[IPAMPool], owner: str) -> None:
        self._pools = [Pool(config) for config in configs]
        self._owner = owner

    def __iter__(self) -> Iterator[Pool]:
        return iter(self._pools)

    def of(self, version: int) -> list[Pool]:
        """The pools of IP version 4 or 6."""
        return [pool for pool in self._pools if pool.subnet.version == version]

    def gateway(self, version: int, address: IPAddress | None = None) -> IPAddress | None:
        """The gateway of the pool that an address is of, or of the first pool of a family."""
        pools = [pool for pool in self.of(version) if address is None or address in pool]
        return pools[0].gateway if pools else None

    def take(self, version: int, wanted: str = "") -> IPInterface:
        """The wanted address, or the lowest free one."""
        if wanted:
            address = ip_address(wanted)
            for pool in self.of(version):
                if address in pool:
                    return pool.take(address)
            raise InvalidArgument(f"no configured subnet contains IP address {wanted}")
        for pool in self.of(version):
            interface = pool.take_any()
            if interface is not None:
                return interface
        raise Forbidden(f"no available IPv{version} addresses on this network's address pools: {self._owner}")

    async def give(self, version: int, wanted: str = "") -> IPInterface:
        """As `take`; other kinds of pools must ask others."""
        return self.take(version, wanted)

    def mark(self, address: IPAddress) -> None:
        """Note an address that a running container holds already."""
        for pool in self._pools:
            if address in pool:
                try:
                    pool.take(address)
                except Conflict:
                    return  # two records claim it: the containers run, so both keep it

    def release(self, address: IPAddress) -> None:
        """Give an address back."""
        for pool in self._pools:
            if address in pool:
                pool.release(address)


def overlapping(subnet: IPNetwork, others: Iterable[IPNetwork]) -> bool:
    """Whether the subnet shares an address with another of its version."""
    return any(other.version == subnet.version and subnet.overlaps(other) for other in others)


def choose_subnet(pools: Iterable[AddressPool], taken: Iterable[IPNetwork], version: int = 4) -> IPNetwork:
    """The first subnet of the default pools that is not taken; Docker's error when there is none."""
    spans = sorted((int(net[0]), int(net[-1])) for net in taken if net.version == version)
    for pool in pools:
        base = ip_network(pool.base)
        if base.version != version:
            continue
        length = max(pool.size, base.prefixlen)
        first = _first_gap(int(base[0]), int(base[-1]), 1 << (base.max_prefixlen - length), spans)
        if first is not None:
            return ip_network((first, length))
    raise Forbidden("all predefined address pools have been fully subnetted")


def _first_gap(first: int, last: int, size: int, spans: list[tuple[int, int]]) -> int | None:
    """Start of the first aligned block of `size` within first…last that touches none of the sorted spans."""
    for start, end in spans:
        if start >= first + size:
            break
        if end >= first:
            first = (end // size + 1) * size
    return first if first + size - 1 <= last else None
