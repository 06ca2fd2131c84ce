"""Published ports of one container: reserved, translated, relayed where translation cannot serve."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from msgspec import Struct, field

from ..errors import SampanError
from ..model.container import PortBinding, PortMap
from . import firewall
from .config import NetworkDefaults
from .endpoint import Endpoint
from .firewall import Element, Firewall
from .ipam import IPAddress
from .ports import ANY4, ANY6, PortAllocator, PortRequest, Reservation, shown
from .proxy import Listeners, Proxy
from .tracking import forget_datagrams

PUBLISHING_DRIVERS = ("bridge", "overlay")
"""On others a container is on the host's segment, with an address of its own there."""


class Gateways(Struct, frozen=True):
    """The endpoints whose gateways a container's default routes use; its ports are published by them."""

    four: Endpoint | None = None
    six: Endpoint | None = None

    def of(self, version: int) -> Endpoint | None:
        """The endpoint of IP version 4 or 6."""
        return self.four if version == 4 else self.six


class Target(NamedTuple):
    """Where ports of the host's addresses of one IP version lead."""

    address: IPAddress
    translated: bool
    relayed: bool
    """What translation misses: it reaches no IPv4 socket; IPv6 ones serve `::1`."""
    hairpin: Element


class Ways(NamedTuple):
    """How a container is reached: by ports of the host, by IP version, and at addresses of its own."""

    targets: Mapping[int, Target]
    direct: Sequence[IPAddress]


class Published(Struct):
    """One container port with all its host addresses (the same host port on each); none in routed networks."""

    request: PortRequest
    reservations: list[Reservation] = field(default_factory=list)
    elements: list[Element] = field(default_factory=list)
    proxies: list[Proxy] = field(default_factory=list)


class Publisher:
    """Publishes ports; one per engine."""

    def __init__(self, walls: Firewall, allocator: PortAllocator, defaults: NetworkDefaults) -> None:
        self._firewall = walls
        self._allocator = allocator
        self._defaults = defaults
        self._listeners = Listeners()

    def publish(self, requests: Iterable[PortRequest], gateways: Gateways) -> list[Published]:
        """All of the ports, or none."""
        made: list[Published] = []
        ways = self._ways(gateways)
        try:
            for published in self._reserve(requests, gateways, ways):
                made.append(published)
                self._open(published, ways)
            self._firewall.change(add=[element for one in made for element in one.elements])
        except BaseException:
            for one in made:
                one.elements = []  # none of them was added
            self.unpublish(made)
            raise
        self._forget_datagrams(made)
        return made

    def _reserve(self, requests: Iterable[PortRequest], gateways: Gateways, ways: Ways) -> Iterator[Published]:
        usual = self._usual_hosts(gateways)
        # Translation takes IPv4 before it reaches a socket: nobody sees whether there is one of its own.
        together = self._firewall.ipv4 and usual == [ANY4, ANY6]
        for request in requests:
            hosts, one_socket = usual, together
            if request.host is not None:
                hosts, one_socket = self._reachable([request.host], gateways), False
            target = ways.targets.get(hosts[0].version) if hosts else None
            held = self._allocator.reserve(request, hosts, target.address, together=one_socket) if target else []
            yield Published(request, held)

    def _forget_datagrams(self, published: Iterable[Published]) -> None:
        ports = {held.port for one in published for held in one.reservations if held.protocol == "udp"}
        if ports and self._firewall.enabled:
            forget_datagrams(ports)

    def unpublish(self, published: Iterable[Published]) -> None:
        """Close the ports and free them."""
        published = list(published)
        self.suspend(published)
        for one in published:
            self._allocator.release(one.reservations)

    def let_go(self, published: Iterable[Published]) -> None:
        """The daemon ends: translated ports stay open, a later run reserves them again."""
        for one in published:
            for proxy in one.proxies:
                proxy.close()
            self._allocator.release(one.reservations)

    def suspend(self, published: Iterable[Published]) -> None:
        """Close the ports but keep them reserved: the container moves to another network."""
        published = list(published)
        self._firewall.change(remove=[element for one in published for element in one.elements])
        for one in published:
            for proxy in one.proxies:
                proxy.close()
            one.elements, one.proxies = [], []
        self._forget_datagrams(published)

    def resume(self, published: Iterable[Published], gateways: Gateways) -> None:
        """Open suspended ports again at the container's new addresses."""
        published, ways = list(published), self._ways(gateways)
        for one in published:
            self._open(one, ways)
        self._firewall.change(add=[element for one in published for element in one.elements])

    def _usual_hosts(self, gateways: Gateways) -> list[IPAddress]:
        """Where ports are published that name no host address."""
        four = gateways.four
        default = ip_address((four and four.network.options.host_binding) or self._defaults.publish_ip or "0.0.0.0")
        return self._reachable([ANY4, ANY6] if default == ANY4 else [default], gateways)

    def _reachable(self, hosts: list[IPAddress], gateways: Gateways) -> list[IPAddress]:
        """Those on which the container can be reached."""
        return [host for host in hosts if self._can_serve(host.version, gateways)]

    def _can_serve(self, version: int, gateways: Gateways) -> bool:
        endpoint = gateways.of(version)
        if endpoint is not None:
            routed = not endpoint.network.options.gateway_mode(version).startswith("nat")
            return endpoint.network.network.driver in PUBLISHING_DRIVERS and not routed
        return version == 6 and self._defaults.userland_proxy and self._can_serve(4, gateways)

    def _open(self, published: Published, ways: Ways) -> None:
        request = published.request
        protocol, port = request.protocol, request.port
        elements = [firewall.open_port(protocol, address, port) for address in ways.direct]
        for held in published.reservations:
            target = ways.targets.get(held.host.version)
            if target is None:
                continue
            if target.translated:
                elements.append(firewall.translated(protocol, held.host, held.port, target.address, port))
                elements.append(target.hairpin)
            elif held.socket is not None:
                elements.append(firewall.relayed(protocol, held.port))
            if target.relayed and held.socket is not None and protocol != "sctp":
                published.proxies.append(Proxy(self._listeners, held.socket, protocol, (target.address, port)))
        # Both address families may need the same element.
        published.elements = list(dict.fromkeys(elements))

    def _ways(self, gateways: Gateways) -> Ways:
        targets: dict[int, Target] = {}
        direct = []
        for version in (6, 4):
            endpoint = gateways.of(version)
            address = endpoint.address(version) if endpoint else None
            if endpoint is None or address is None:
                continue
            targets[version] = self._target(version, address.ip)
            if endpoint.network.options.gateway_mode(version) == "routed" or self._defaults.allow_direct_routing:
                direct.append(address.ip)
        if 4 in targets and 6 not in targets:  # a container without IPv6 is reached by IPv4
            targets[6] = self._target(6, targets[4].address)
        return Ways(targets, direct)

    def _target(self, version: int, address: IPAddress) -> Target:
        """Where an address of the host of that version leads."""
        walls = self._firewall.ipv4 if version == 4 else self._firewall.ipv6
        translated = walls and address.version == version
        relayed = self._defaults.userland_proxy and not (translated and version == 4)
        return Target(address, translated, relayed, firewall.hairpin(address))


def port_map(exposed: Iterable[str], published: Iterable[Published]) -> PortMap:
    """`NetworkSettings.Ports`: every exposed port, with the host bindings of those that are published."""
    ports: dict[str, list[PortBinding] | None] = dict.fromkeys(exposed)
    for one in published:
        bindings = [PortBinding(host_ip=shown(held.host), host_port=str(held.port)) for held in one.reservations]
        ports[one.request.key] = (ports.get(one.request.key) or []) + bindings
    return ports


def restored(requests: Iterable[PortRequest], ports: PortMap) -> list[PortRequest]:
    """The requests with the host ports that an earlier run of the daemon gave them."""
    given = {key: [int(binding.host_port) for binding in bindings or ()] for key, bindings in ports.items()}
    found = []
    for request in requests:
        numbers = given.get(request.key, [])
        fitting = [n for n in numbers if not request.first or request.first <= n <= request.last]
        if not fitting:
            raise SampanError(f"no record of the host port of {request.key}")
        found.append(PortRequest(request.protocol, request.port, request.host, fitting[0], fitting[0]))
        # One number appears once per host address.
        given[request.key] = [n for n in numbers if n != fitting[0]]
    return found
