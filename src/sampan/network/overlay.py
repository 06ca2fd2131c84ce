"""The overlay driver: one bridge per host, joined by VXLAN (RFC 7348) to the bridges of the peers.

`-o peers=10.0.0.1,10.0.0.2,…` names all hosts, this one too, and is the same on all of them; so must be the subnet.
With `-o kv=http://…` the hosts find each other in etcd, and agree there on the subnet as well (`keyvalue`).
Each host gives addresses from a part of the subnet of its own, which follows from its place in the list or in etcd: no
two hosts give the same address, and nobody is asked. The gateway has the same address and MAC on every host.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import zlib
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from itertools import islice

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ..errors import InvalidArgument, SampanError
from ..linux import rtnetlink
from ..linux.netlink import NetlinkError
from ..linux.rtnetlink import Route
from ..model.container import PortMap
from .bridge import BridgeDriver, delete_link
from .encryption import ENCRYPTED_PORT, PSK, Encryption, Protected, is_encrypted, secret_of
from .encryption import OVERHEAD as ESP_OVERHEAD
from .endpoint import Endpoint
from .ipam import IPAddress
from .keyvalue import KV, Config, KeyValue
from .netns import Interface
from .peernames import PeerNames
from .spec import IPAMPool, Network
from .store import Stored

log = logging.getLogger("sampan.network")

PEERS, VNI, PORT, LOCAL, PART = "peers", "vni", "port", "local", "part"
VXLAN_PORT = 4789
OVERHEAD = {4: 50, 6: 70}
"""Bytes that VXLAN adds, by the IP version between the hosts."""
ETHERNET_MTU = 1500
EVERYONE = "00:00:00:00:00:00"
POLL_SECONDS = 2.0
"""How soon a host hears of another that joined or left by the key-value store."""
MOST_PARTS = 6
"""A subnet is cut in 64 parts at most where the number of hosts is not known."""
LEAST_PART = 4
"""And no part is smaller than 16 addresses."""


class Tunnel(Struct, frozen=True):
    """What an overlay network's options say; `local` is this host among `hosts`."""

    hosts: tuple[IPAddress, ...]
    vni: int
    port: int
    local: IPAddress

    @property
    def ports(self) -> range:
        """The tunnel's, and that for names."""
        return range(self.port, self.port + 2)

    @property
    def others(self) -> tuple[IPAddress, ...]:
        return tuple(host for host in self.hosts if host != self.local)


def tunnel(network: Network, own: set[IPAddress]) -> Tunnel:
    """Read the options; `own` are this host's addresses. With a key-value store the hosts are those last heard of."""
    options = network.options
    names = options.get(PEERS, "")
    try:
        hosts, named = _addresses(names), _addresses(options.get(LOCAL, ""))
        port = int(options.get(PORT, ENCRYPTED_PORT if is_encrypted(options) else VXLAN_PORT))
        vni = int(options[VNI]) if VNI in options else _derived_vni(network)
    except ValueError as error:
        raise InvalidArgument(f"invalid overlay option: {error}") from None
    if KV in options and not named:
        raise InvalidArgument("overlay networks with a key-value store need the option local: this host's address")
    if not hosts and KV not in options:
        raise InvalidArgument("overlay networks need the option peers: the addresses of all hosts, this one's too")
    local = [host for host in named or hosts if host in own]
    if len(local) != 1:
        raise InvalidArgument(f"exactly one of the peers {options.get(LOCAL) or names} must be an address of this host")
    if not 0 < vni < 1 << 24 or not 0 < port < 65535:
        raise InvalidArgument("vni or port is out of range")
    return Tunnel(hosts or tuple(local), vni, port, local[0])


def _addresses(text: str) -> tuple[IPAddress, ...]:
    return tuple(ip_address(one.strip()) for one in text.split(",") if one.strip())


def _derived_vni(network: Network) -> int:
    subnets = ",".join(pool.subnet for pool in network.ipam.config or ())
    return zlib.crc32(f"{network.name} {subnets}".encode()) % ((1 << 24) - 1) + 1


def partition(shown: Sequence[IPAMPool], bits: int, part: int) -> list[IPAMPool]:
    """The pools with one of 2^bits parts of each subnet as range, and the first address as everyone's gateway."""
    effective = []
    for pool in shown:
        subnet = ip_network(pool.subnet)
        if subnet.max_prefixlen - subnet.prefixlen < bits + 2:
            raise InvalidArgument(f"subnet {subnet} is too small for so many hosts")
        mine = next(islice(subnet.subnets(prefixlen_diff=bits), part, None)) if bits else subnet
        gateway, ranged = pool.gateway or str(subnet[1]), pool.ip_range or str(mine)
        effective.append(msgspec.structs.replace(pool, ip_range=ranged, gateway=gateway))
    return effective


def _with_secret(network: Network) -> Network:
    """The secret is kept, but not shown with the options; a file is read again with every start."""
    secret_of(network.options)
    options = {name: text for name, text in network.options.items() if name != PSK}
    return msgspec.structs.replace(network, options=options, secret=network.options.get(PSK, ""))


def _secret(network: Network) -> str:
    if not is_encrypted(network.options):
        return ""
    return network.secret or secret_of(network.options)


def _share(subnets: Sequence[str]) -> int:
    """Bits that number the parts where the number of hosts is not known."""
    widths = [ip_network(text).max_prefixlen - ip_network(text).prefixlen for text in subnets]
    return max(0, min(MOST_PARTS, min(widths) - LEAST_PART))


class OverlayDriver:
    """See `endpoint.Driver`: a bridge, with a tunnel for one more port."""

    def __init__(self, route: Route, bridges: BridgeDriver, names: PeerNames, save: Callable[[Stored], None]) -> None:
        self._route = route
        self._save = save
        self._bridges = bridges
        self._names = names
        self._tunnels: dict[str, Tunnel] = {}
        self._polls: dict[str, asyncio.Task[None]] = {}
        self._encryption = Encryption()
        self._secrets: dict[str, str] = {}
        """Of encrypted networks, by id."""

    def close(self) -> None:
        """Stop asking the key-value store."""
        self._encryption.close()
        for task in self._polls.values():
            task.cancel()

    def tunnel(self, stored: Stored) -> Tunnel:
        """The network's tunnel, read with the addresses that this host has now."""
        way = self._tunnels.get(stored.network.id)
        if way is None:
            own: set[IPAddress] = {address.ip for _, address in self._route.addresses()}
            way = self._tunnels[stored.network.id] = tunnel(stored.network, own)
        return way

    async def prepared(self, stored: Stored) -> Stored:
        """Before `create`: the network with this host's part of the addresses."""
        if is_encrypted(stored.network.options):
            stored.network = _with_secret(stored.network)
        if KV in stored.network.options:
            return await asyncio.to_thread(self._joined, stored)
        if not stored.network.user_subnets:
            raise InvalidArgument("overlay networks need a subnet, the same on all hosts")
        way = self.tunnel(stored)
        part = sorted(way.hosts, key=lambda host: (host.version, int(host))).index(way.local)
        bits = (len(way.hosts) - 1).bit_length()
        return Stored(stored.network, partition(stored.network.ipam.config or (), bits, part))

    def _joined(self, stored: Stored) -> Stored:
        """Agree with the other hosts by the key-value store, and take a part."""
        network, way = stored.network, self.tunnel(stored)
        store = KeyValue(network.options)
        asked = [pool.subnet for pool in network.ipam.config or ()]
        agreed = store.agree(network.name, Config(asked, way.vni, way.port))
        if network.user_subnets and agreed.subnets != asked:
            raise InvalidArgument(f"the other hosts of network {network.name} use the subnet {agreed.subnets[0]}")
        bits = _share(agreed.subnets)
        part = store.join(network.name, str(way.local), 1 << bits)
        options = {**network.options, VNI: str(agreed.vni), PORT: str(agreed.port), PART: str(part)}
        shown = network.ipam.config if network.user_subnets else [IPAMPool(subnet=text) for text in agreed.subnets]
        ipam = msgspec.structs.replace(network.ipam, config=shown)
        joined = msgspec.structs.replace(network, options=options, ipam=ipam)
        self._tunnels.pop(network.id, None)
        return Stored(joined, partition(shown or (), bits, part))

    async def create(self, stored: Stored) -> None:
        """Make bridge and tunnel."""
        self._refuse_mixture(stored)
        try:
            self._protect(stored, self.tunnel(stored))
            self._fit(stored)
            await self._bridges.create(stored)
            self._dig(stored)
        except BaseException:
            await self.remove(stored)
            raise

    async def restore(self, stored: Stored) -> None:
        """Make again what is missing."""
        self._protect(stored, self.tunnel(stored))
        self._fit(stored)
        await self._bridges.restore(stored)
        self._dig(stored)

    def _refuse_mixture(self, stored: Stored) -> None:
        """A port is encrypted or it is not, and with one secret."""
        way, secret = self.tunnel(stored), _secret(stored.network)
        for network_id, other in self._tunnels.items():
            shared = set(way.ports) & set(other.ports)
            if network_id != stored.network.id and shared and self._secrets.get(network_id, "") != secret:
                self._tunnels.pop(stored.network.id)
                raise InvalidArgument(f"port {min(shared)} is used by an overlay network with other encryption: give "
                                      "the network another one, with port=…")  # fmt: skip
        self._secrets[stored.network.id] = secret

    def _protect(self, stored: Stored, way: Tunnel) -> None:
        secret = self._secrets[stored.network.id] = _secret(stored.network)
        if secret:
            self._encryption.protect(stored.network.id, Protected(way.local, way.port, secret, frozenset(way.others)))

    def _fit(self, stored: Stored) -> None:
        """Containers send no more at once than the tunnel takes: no bridge would tell them that it was too much."""
        overhead = OVERHEAD[self.tunnel(stored).local.version] + (ESP_OVERHEAD if _secret(stored.network) else 0)
        mtu = stored.options.mtu or ETHERNET_MTU - overhead
        stored.options = replace(stored.options, mtu=mtu)

    def _name(self, stored: Stored) -> str:
        return f"vx-{stored.network.id[:12]}"

    def _dig(self, stored: Stored) -> None:
        way, name = self.tunnel(stored), self._name(stored)
        bridge = self._route.link(stored.link)
        if self._route.link(name) is None:
            self._route.request(rtnetlink.vxlan(name, way.vni, way.port, way.local, learning=True))
        link = self._route.link(name)
        assert link is not None and bridge is not None
        self._route.request(rtnetlink.set_link(link.index, master=bridge.index, mtu=stored.options.mtu, up=True))
        self._set_peers(stored, link.index, way)
        if KV in stored.network.options and stored.network.id not in self._polls:
            task = asyncio.get_running_loop().create_task(self._poll(stored, link.index))
            self._polls[stored.network.id] = task

    def _set_peers(self, stored: Stored, index: int, way: Tunnel) -> None:
        """Frames for everyone go to these peers, and only these may ask for names."""
        for peer in self._tunnels.get(stored.network.id, way).others:
            self._forget(index, peer)
        for peer in way.others:
            # Taken away first, so that it is not there twice: the tunnel may be older than the daemon.
            self._forget(index, peer)
            self._route.request(rtnetlink.forwarding(index, EVERYONE, peer, append=True))
        self._tunnels[stored.network.id] = way
        self._names.serve(stored, way.local, way.port + 1, way.others, way.vni)

    def _forget(self, index: int, peer: IPAddress) -> None:
        try:
            self._route.request(rtnetlink.forwarding(index, EVERYONE, peer, remove=True))
        except NetlinkError as refusal:
            if refusal.errno != errno.ENOENT:
                raise

    async def _poll(self, stored: Stored, index: int) -> None:
        """Follow the hosts that join and leave; a store that is away changes nothing."""
        store, away = KeyValue(stored.network.options), False
        while True:
            try:
                found = await asyncio.to_thread(store.hosts, stored.network.name)
                hosts = tuple(ip_address(text) for text in sorted(found.values()))
                way = self.tunnel(stored)
                if away or set(hosts) != set(way.hosts):
                    changed = replace(way, hosts=hosts)
                    self._protect(stored, changed)
                    self._set_peers(stored, index, changed)
                    self._remember(stored, hosts)
                away = False
            except (SampanError, OSError, ValueError) as error:
                if not away:
                    log.warning("overlay network %s: %s", stored.network.name, error)
                away = True
            await asyncio.sleep(POLL_SECONDS)

    def _remember(self, stored: Stored, hosts: Sequence[IPAddress]) -> None:
        """A daemon that starts while the store is away goes on with these hosts."""
        options = {**stored.network.options, PEERS: ",".join(map(str, hosts))}
        stored.network = msgspec.structs.replace(stored.network, options=options)
        self._save(stored)

    async def remove(self, stored: Stored) -> None:
        """Delete tunnel and bridge, and give this host's part back."""
        self._names.stop(stored)
        poll = self._polls.pop(stored.network.id, None)
        if poll is not None:
            poll.cancel()
        options = stored.network.options
        if KV in options and PART in options:
            try:
                await asyncio.to_thread(KeyValue(options).leave, stored.network.name, int(options[PART]))
            except SampanError as error:
                log.warning("overlay network %s keeps its part in the key-value store: %s", stored.network.name, error)
        self._tunnels.pop(stored.network.id, None)
        await delete_link(self._name(stored))
        self._encryption.release(stored.network.id)  # last: the tunnel is never without it
        self._secrets.pop(stored.network.id, None)
        await self._bridges.remove(stored)

    async def plug(self, endpoint: Endpoint, netns_fd: int) -> Interface:
        """As on a bridge."""
        return await self._bridges.plug(endpoint, netns_fd)

    def publishes(self, endpoint: Endpoint) -> None:
        """As on a bridge."""
        self._bridges.publishes(endpoint)

    async def bind_anew(self, endpoint: Endpoint, bindings: PortMap) -> None:
        """Ports are not this driver's."""

    def abandon(self, endpoint: Endpoint) -> None:
        """As on a bridge."""
        self._bridges.abandon(endpoint)

    async def unplug(self, endpoint: Endpoint, netns_fd: int) -> None:
        """As on a bridge."""
        await self._bridges.unplug(endpoint, netns_fd)
