"""`network map` and `network check`: who is where, and whether one container reaches another, and why not."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address

from ..errors import NotFound
from ..linux.rtnetlink import Route
from ..model.container import DockerValue
from .endpoint import Endpoint
from .firewall import Firewall
from .ipam import IPAddress
from .netns import Namespaces
from .sandboxes import Held, Sandboxes
from .store import Store

PROBE_SECONDS = 1.0
TCP_LISTEN = "0A"
"""The state in /proc/net/tcp (include/net/tcp_states.h)."""


class MapMember(DockerValue, frozen=True):
    """A container on a network; `ports` are `0.0.0.0:8080->80/tcp`."""

    name: str
    id: str
    addresses: list[str]
    names: list[str]
    ports: list[str]


class MapNetwork(DockerValue, frozen=True):
    """A network with its running containers; `link` is the host's bridge, where it has one."""

    name: str
    id: str
    driver: str
    link: str
    internal: bool
    subnets: list[str]
    members: list[MapMember]


class Check(DockerValue, frozen=True):
    """Whether A reaches B: the steps on the way, what stops it, and whether a connection was really tried."""

    reachable: bool
    path: list[str]
    reason: str = ""
    probed: bool = False


class Inspection:
    """Reads; changes nothing."""

    def __init__(
        self, store: Store, sandboxes: Sandboxes, firewall: Firewall, route: Route, namespaces: Namespaces
    ) -> None:
        self._store = store
        self._sandboxes = sandboxes
        self._firewall = firewall
        self._route = route
        self._namespaces = namespaces

    def map(self) -> list[MapNetwork]:
        """All networks, by name."""
        found = []
        for stored in sorted(self._store, key=lambda one: one.network.name):
            network = stored.network
            found.append(
                MapNetwork(
                    name=network.name,
                    id=network.id,
                    driver=network.driver,
                    link=stored.link if network.driver in ("bridge", "overlay") else "",
                    internal=network.internal,
                    subnets=[str(pool.subnet) for pool in stored.pools],
                    members=[self._member(endpoint) for endpoint in self._sandboxes.on(stored)],
                )
            )
        return found

    def _member(self, endpoint: Endpoint) -> MapMember:
        held = self._sandboxes.get(endpoint.container_id)
        published = held.published if held and endpoint in (held.gateways.four, held.gateways.six) else []
        ports = [f"{one.host}:{one.port}->{port.request.key}" for port in published for one in port.reservations]
        addresses = [str(address) for address in endpoint.addresses]
        return MapMember(endpoint.container_name, endpoint.container_id, addresses, endpoint.names, ports)

    async def check(self, source: str, target: str, port: int | None) -> Check:
        """Whether the container `source` reaches `target`, on a TCP port of it where one is given."""
        one, other = self._running(source), self._running(target)
        way = self._way(one, other, port)
        if port is None or not way.path:
            return way
        nobody = self._nobody_listens(other, port)
        address = self._direct_address(one, other)
        if address is None:
            return way if nobody is None or not way.reachable else Check(False, way.path, nobody)
        error = await self._probe(one, address, port)
        if not error:
            return Check(True, way.path, probed=True)
        return Check(False, way.path, nobody or way.reason or f"{address}:{port}: {error}", probed=True)

    def _running(self, ref: str) -> Held:
        held = self._sandboxes.find(ref)
        if held is None:
            raise NotFound(f"container {ref} is not running on any network")
        return held

    def _way(self, one: Held, other: Held, port: int | None) -> Check:
        if one.on_host or other.on_host:
            return self._by_host(one, other)
        shared = [name for name in one.endpoints if name in other.endpoints and other.endpoints[name].addresses]
        if shared:
            return self._over(one.endpoints[shared[0]], other.endpoints[shared[0]], one is other)
        return self._published(one, other, port)

    def _by_host(self, one: Held, other: Held) -> Check:
        """One of them is on the host's own network."""
        if one.on_host and other.on_host:
            return Check(True, [one.name, "the host's own network", other.name])
        inside = other if one.on_host else one
        endpoint = self._seen_by_host(inside)
        if endpoint is None:
            names = " and ".join(sorted(inside.endpoints))
            return Check(False, [], f"{one.name} and {other.name} do not meet: the host has no address on {names}")
        gateway = endpoint.network.pools.gateway(endpoint.addresses[0].version)
        stops = [f"host {gateway}", f"network {endpoint.network.network.name} ({endpoint.network.link})"]
        if one.on_host:
            path = [one.name, *stops, f"{other.name} {endpoint.addresses[0].ip}"]
        else:
            path = [one.name, *reversed(stops), other.name]
        fault = self._link_fault(endpoint)
        return Check(not fault, path, fault)

    def _seen_by_host(self, held: Held) -> Endpoint | None:
        """Of its networks one on which the host has an address itself."""
        for endpoint in held.endpoints.values():
            bridged = endpoint.network.network.driver in ("bridge", "overlay") and endpoint.addresses
            if bridged and endpoint.network.pools.gateway(endpoint.addresses[0].version) is not None:
                return endpoint
        return None

    def _over(self, mine: Endpoint, theirs: Endpoint, same: bool) -> Check:
        stored = mine.network
        address = theirs.addresses[0].ip
        path = [
            mine.container_name,
            f"network {stored.network.name} ({stored.link})",
            f"{theirs.container_name} {address}",
        ]
        if stored.network.driver not in ("bridge", "overlay"):
            return Check(True, path)
        for endpoint in (mine, theirs):
            fault = self._link_fault(endpoint)
            if fault:
                return Check(False, path, fault)
        if not stored.options.icc and not same:
            return Check(False, path, f"network {stored.network.name} has enable_icc=false: its containers reach each "
                         "other only by published ports (set `within` of table inet sampan)")  # fmt: skip
        return Check(True, path, "" if self._firewall.intact() else _CHANGED)

    def _link_fault(self, endpoint: Endpoint) -> str:
        link, bridge = self._route.link(endpoint.link), self._route.link(endpoint.network.link)
        name = endpoint.container_name
        if bridge is None:
            return f"the bridge {endpoint.network.link} is missing"
        if not bridge.up:
            return f"the bridge {bridge.name} is down"
        if link is None:
            return f"the link {endpoint.link} of {name} is missing"
        if not link.up:
            return f"the link {link.name} of {name} is down"
        return "" if link.master == bridge.index else f"the link {link.name} of {name} is not on bridge {bridge.name}"

    def _published(self, one: Held, other: Held, port: int | None) -> Check:
        names = " and ".join(sorted({*one.endpoints, *other.endpoints}))
        if not one.reaches_out:
            return Check(False, [], f"{one.name} is on internal networks only, and shares none with {other.name}")
        open_ports = [held for held in other.published if port in (None, held.request.port) and held.reservations]
        gateway = one.gateways.four or one.gateways.six
        if open_ports and gateway is not None:
            held = open_ports[0].reservations[0]
            if not held.host.is_loopback:
                address = gateway.gateway4 or gateway.gateway6 if held.host.is_unspecified else held.host
                key = open_ports[0].request.key
                return Check(True, [one.name, f"host {address}:{held.port}", f"{other.name} {key}"])
        wanted = f"port {port}" if port else "any port"
        return Check(False, [], f"{one.name} and {other.name} share no network ({names} are isolated by chain "
                     f"`nat-entrance` of table inet sampan), and {other.name} does not publish {wanted}")  # fmt: skip

    def _direct_address(self, one: Held, other: Held) -> IPAddress | None:
        """Where `one` finds `other` without a published port."""
        if one.on_host and other.on_host:
            return IPv4Address("127.0.0.1")
        if one.on_host or other.on_host:
            endpoint = self._seen_by_host(other if one.on_host else one)
            assert endpoint is not None, "else there was no way"
            address = endpoint.addresses[0]
            return address.ip if one.on_host else endpoint.network.pools.gateway(address.version)
        for name, endpoint in other.endpoints.items():
            if name in one.endpoints and endpoint.addresses:
                return endpoint.addresses[0].ip
        return None

    async def _probe(self, one: Held, address: IPAddress, port: int) -> str:
        with self._namespaces.inside(one.netns_fd):
            probe = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6)
        with probe:
            probe.setblocking(False)
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    await asyncio.get_running_loop().sock_connect(probe, (str(address), port))
            except TimeoutError:
                return "no answer"
            except OSError as error:
                return (error.strerror or str(error)).lower()
        return ""

    def _nobody_listens(self, held: Held, port: int) -> str | None:
        listening = set()
        with self._namespaces.inside(held.netns_fd):
            for name in ("tcp", "tcp6"):
                try:
                    with open(f"/proc/thread-self/net/{name}") as file:
                        rows = [line.split() for line in file.readlines()[1:]]
                except FileNotFoundError:
                    continue
                listening |= {row[1].rsplit(":", 1)[0] for row in rows
                              if row[3] == TCP_LISTEN and int(row[1].rsplit(":", 1)[1], 16) == port}  # fmt: skip
        if not listening:
            return f"nothing listens on port {port} in {held.name}"
        if listening <= _LOOPBACK:
            return f"{held.name} listens on port {port} of its loopback only"
        return None


_LOOPBACK = {"0100007F", "00000000000000000000000001000000"}
_CHANGED = "another program has changed the table inet sampan"
