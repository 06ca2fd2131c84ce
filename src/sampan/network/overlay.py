"""The overlay driver: one bridge per host, joined by VXLAN (RFC 7348) to the bridges of the peers.

`-o peers=10.0.0.1,10.0.0.2,…` names all hosts, this one too, and is the same on all of them; so must be the subnet.
Each host gives addresses from a part of the subnet of its own, which follows from its place in the list: no two hosts
give the same address, and nobody needs to be asked. The gateway has the same address and MAC on every host.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from itertools import islice

import msgspec

from ..errors import InvalidArgument, NotImplementedHere
from ..linux import rtnetlink
from ..linux.rtnetlink import Route
from .bridge import BridgeDriver, delete_link
from .endpoint import Endpoint
from .ipam import IPAddress
from .netns import Interface
from .peernames import PeerNames
from .spec import IPAMPool, Network
from .store import Stored

PEERS, VNI, PORT = "peers", "vni", "port"
VXLAN_PORT = 4789
OVERHEAD = 50
"""Bytes that VXLAN adds over IPv4."""
EVERYONE = "00:00:00:00:00:00"


@dataclass(frozen=True)
class Tunnel:
    """What an overlay network's options say; `local` is this host among `hosts`."""

    hosts: tuple[IPAddress, ...]
    vni: int
    port: int
    local: IPAddress

    @property
    def others(self) -> tuple[IPAddress, ...]:
        return tuple(host for host in self.hosts if host != self.local)


def tunnel(network: Network, own: set[IPAddress]) -> Tunnel:
    """Read the options; `own` are this host's addresses."""
    options = network.options
    if "encrypted" in options or "com.docker.network.driver.overlay.encrypted" in options:
        raise NotImplementedHere(
            "encrypted overlay networks are not available: they are refused rather than sent in clear"
        )
    if "kv" in options:
        raise NotImplementedHere("overlay networks take their hosts from the option peers; kv is not available")
    try:
        hosts = tuple(ip_address(text.strip()) for text in options.get(PEERS, "").split(",") if text.strip())
        port = int(options.get(PORT, VXLAN_PORT))
        vni = int(options[VNI]) if VNI in options else _derived_vni(network)
    except ValueError as error:
        raise InvalidArgument(f"invalid overlay option: {error}") from None
    if not hosts:
        raise InvalidArgument("overlay networks need the option peers: the addresses of all hosts, this one's too")
    local = [host for host in hosts if host in own]
    if len(local) != 1 or not 0 < vni < 1 << 24 or not 0 < port < 65535:
        raise InvalidArgument(f"exactly one of the peers {options[PEERS]} must be an address of this host"
                              if len(local) != 1 else "vni or port is out of range")  # fmt: skip
    return Tunnel(hosts, vni, port, local[0])


def _derived_vni(network: Network) -> int:
    subnets = ",".join(pool.subnet for pool in network.ipam.config or ())
    return zlib.crc32(f"{network.name} {subnets}".encode()) % ((1 << 24) - 1) + 1


def partition(stored: Stored, way: Tunnel) -> Stored:
    """The network with this host's part of each subnet as its range, and the first address as everyone's gateway."""
    place = sorted(way.hosts, key=lambda host: (host.version, int(host))).index(way.local)
    bits = (len(way.hosts) - 1).bit_length()
    effective = []
    for pool, shown in zip(stored.effective, stored.network.ipam.config or (), strict=True):
        subnet = ip_network(pool.subnet)
        if subnet.max_prefixlen - subnet.prefixlen < bits + 2:
            raise InvalidArgument(f"subnet {subnet} is too small for {len(way.hosts)} hosts")
        mine = next(islice(subnet.subnets(prefixlen_diff=bits), place, None)) if bits else subnet
        gateway = shown.gateway or str(subnet[1])
        effective.append(IPAMPool(subnet=pool.subnet, ip_range=pool.ip_range or str(mine), gateway=gateway,
                                  auxiliary_addresses=pool.auxiliary_addresses))  # fmt: skip
    return Stored(msgspec.structs.replace(stored.network, scope="local"), effective, stored.made_link)


class OverlayDriver:
    """See `endpoint.Driver`: a bridge, with a tunnel for one more port."""

    def __init__(self, route: Route, bridges: BridgeDriver, names: PeerNames) -> None:
        self._route = route
        self._bridges = bridges
        self._names = names
        self._tunnels: dict[str, Tunnel] = {}

    def tunnel(self, stored: Stored) -> Tunnel:
        """The network's tunnel, read with the addresses that this host has now."""
        way = self._tunnels.get(stored.network.id)
        if way is None:
            own: set[IPAddress] = {address.ip for _, address in self._route.addresses()}
            way = self._tunnels[stored.network.id] = tunnel(stored.network, own)
        return way

    def prepared(self, stored: Stored) -> Stored:
        """Before `create`: the network with this host's part of the addresses."""
        if not stored.network.user_subnets:
            raise InvalidArgument("overlay networks need a subnet, the same on all hosts")
        return partition(stored, self.tunnel(stored))

    async def create(self, stored: Stored) -> None:
        """Make bridge and tunnel."""
        await self._bridges.create(stored)
        try:
            self._dig(stored)
        except BaseException:
            await self.remove(stored)
            raise

    async def restore(self, stored: Stored) -> None:
        """Make again what is missing."""
        await self._bridges.restore(stored)
        self._dig(stored)

    def _name(self, stored: Stored) -> str:
        return f"vx-{stored.network.id[:12]}"

    def _dig(self, stored: Stored) -> None:
        way, name = self.tunnel(stored), self._name(stored)
        bridge = self._route.link(stored.link)
        if self._route.link(name) is None:
            self._route.request(rtnetlink.vxlan(name, way.vni, way.port, way.local, learning=True))
        link = self._route.link(name)
        assert link is not None and bridge is not None
        mtu = stored.options.mtu or 1500 - OVERHEAD
        self._route.request(rtnetlink.set_link(link.index, master=bridge.index, mtu=mtu, up=True))
        for peer in way.others:
            # Replaced one by one an entry would lose the others: each is taken away and added again.
            for remove in (True, False):
                request = rtnetlink.forwarding(link.index, EVERYONE, peer, remove=remove, append=not remove)
                try:
                    self._route.request(request)
                except OSError:
                    if not remove:
                        raise
        self._names.serve(stored, way.local, way.port + 1, way.others, way.vni)

    async def remove(self, stored: Stored) -> None:
        """Delete tunnel and bridge."""
        self._names.stop(stored)
        self._tunnels.pop(stored.network.id, None)
        await delete_link(self._name(stored))
        await self._bridges.remove(stored)

    async def plug(self, endpoint: Endpoint, netns_fd: int) -> Interface:
        """As on a bridge."""
        return await self._bridges.plug(endpoint, netns_fd)

    def publishes(self, endpoint: Endpoint) -> None:
        """As on a bridge."""
        self._bridges.publishes(endpoint)

    def abandon(self, endpoint: Endpoint) -> None:
        """As on a bridge."""
        self._bridges.abandon(endpoint)

    async def unplug(self, endpoint: Endpoint, netns_fd: int) -> None:
        """As on a bridge."""
        await self._bridges.unplug(endpoint, netns_fd)
