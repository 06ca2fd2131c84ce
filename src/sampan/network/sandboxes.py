"""Running containers on their networks: plugged in at start, moved while they run, found again after a restart."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_interface

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from ..errors import Forbidden, InvalidArgument, NotFound, SampanError
from ..model.container import EndpointSettings, PortMap
from .bridge import interface_prefix
from .config import NetworkDefaults
from .creation import new_id
from .directory import Directory
from .endpoint import Driver, Endpoint, mac_of
from .forwarder import Forwarder, HostServers
from .ipam import IPAddress, IPInterface
from .netns import Gateway, Interface, Namespaces, Setup
from .peernames import PeerNames
from .ports import PortRequest, changed_bindings, requests
from .publishing import Gateways, Published, Publisher, port_map, restored
from .resolver import Resolver
from .sandbox import Sandbox, SandboxRequest
from .store import Store, Stored
from .zone import ContainerZone

log = logging.getLogger("sampan.network")


class Held(Struct):
    """All that one running container holds."""

    request: SandboxRequest
    netns_fd: int
    name: str
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    """By network name."""
    gateways: Gateways = field(default_factory=Gateways)
    published: list[Published] = field(default_factory=list)
    resolver: Resolver | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def named_endpoints(self) -> list[Endpoint]:
        """Its endpoints on networks that have names; those that are to be preferred first."""
        named = [endpoint for endpoint in self.endpoints.values() if endpoint.names]
        return sorted(named, key=preference) if len(named) > 1 else named

    @property
    def on_host(self) -> bool:
        """Whether the host's own namespace is the container's: nothing in it is ours to set up."""
        return any(endpoint.network.network.driver == "host" for endpoint in self.endpoints.values())

    @property
    def reaches_out(self) -> bool:
        """Whether it has a default route."""
        return self.gateways.four is not None or self.gateways.six is not None

    def shown(self) -> Sandbox:
        """As the engine records it."""
        return Sandbox(
            container_id=self.request.container_id,
            name=self.name,
            endpoints={name: endpoint.shown() for name, endpoint in self.endpoints.items()},
            ports=port_map(self.request.exposed_ports, self.published),
        )


def preference(endpoint: Endpoint) -> tuple[int, bool, bool, str]:
    """Of several networks: the highest `gw_priority` wins, then those with both IP versions, then the name decides.

    Internal ones come last.
    """
    network = endpoint.network.network
    single = not (network.enable_ipv4 and network.enable_ipv6)
    return -endpoint.settings.gw_priority, network.internal, single, network.name


def choose_gateways(endpoints: Iterable[Endpoint]) -> Gateways:
    """By preference, per address family."""
    ordered = sorted(endpoints, key=preference)
    able = [one for one in ordered if not one.network.network.internal]
    four = next((one for one in able if one.gateway4 and one.address4), None)
    six = next((one for one in able if one.gateway6 and one.address6), None)
    return Gateways(four, six)


class Sandboxes:
    """All running containers of one engine."""

    def __init__(
        self,
        store: Store,
        drivers: Mapping[str, Driver],
        publisher: Publisher,
        defaults: NetworkDefaults,
        namespaces: Namespaces,
    ) -> None:
        self._store = store
        self._drivers = drivers
        self._publisher = publisher
        self._defaults = defaults
        self._namespaces = namespaces
        self._directory = Directory()
        self.peer_names = PeerNames(self._names_here)
        self._host_forwarder = Forwarder(HostServers(defaults.resolv_conf))
        self._held: dict[str, Held] = {}

    def close(self) -> None:
        """Let go; containers keep their links, ports that need no proxy stay open."""
        self.peer_names.close()
        for held in self._held.values():
            if held.resolver is not None:
                held.resolver.close()
            self._publisher.let_go(held.published)
            if held.netns_fd >= 0:
                os.close(held.netns_fd)

    def _names_here(self, network_id: str, name: str) -> list[IPAddress]:
        holders = self._directory.holders(network_id, name)
        return [address.ip for holder in holders for address in holder.addresses]

    def get(self, container_id: str) -> Held | None:
        """What a container holds."""
        return self._held.get(container_id)

    def find(self, ref: str) -> Held | None:
        """The running container of that name or id."""
        return self._held.get(ref) or next((held for held in self._held.values() if held.name == ref), None)

    def on(self, stored: Stored) -> list[Endpoint]:
        """The endpoints of one network."""
        name = stored.network.name
        return [held.endpoints[name] for held in self._held.values() if name in held.endpoints]

    async def attach(self, request: SandboxRequest) -> Sandbox:
        """Plug a starting container into all its networks; all or nothing."""
        held = Held(request, os.dup(request.netns_fd) if request.netns_fd >= 0 else -1, request.name)
        try:
            interfaces = []
            for ref, settings in request.networks.items():
                interfaces += await self._plug(held, self._store.get(ref), settings)
            held.gateways = choose_gateways(held.endpoints.values())
            if held.netns_fd >= 0 and not held.on_host:
                setup = Setup(loopback=True, interfaces=tuple(interfaces), gateways=_routes(held.gateways))
                self._namespaces.set_up(held.netns_fd, setup)
            self._publish(held, requests(request.port_bindings, request.exposed_ports, request.publish_all))
            self._serve_names(held)
        except BaseException:
            await self._release(held, running=True)
            raise
        self._held[request.container_id] = held
        return held.shown()

    def _announce(self, gateways: Gateways) -> None:
        for endpoint in (gateways.four, gateways.six):
            if endpoint is not None:
                self._driver(endpoint.network).publishes(endpoint)

    def _serve_names(self, held: Held) -> None:
        """List the container's names, and give it its resolver once it is on a network that has names."""
        for endpoint in held.named_endpoints:
            self._directory.add(endpoint)
        if held.named_endpoints and held.resolver is None and held.netns_fd >= 0:
            zone = ContainerZone(held, self._directory, self.peer_names, self._forwarder(held), self.host_gateways)
            held.resolver = Resolver(self._namespaces, held.netns_fd, zone)

    def _forwarder(self, held: Held) -> Forwarder:
        servers = held.request.dns or self._defaults.dns
        if not servers:
            return self._host_forwarder
        # Servers that were named are asked the way the container would: they may be on its networks.
        return Forwarder(lambda: tuple(servers), lambda: self._namespaces.inside(held.netns_fd))

    def host_gateways(self) -> list[str]:
        """What `host-gateway` stands for: `host-gateway-ip`, or the default bridge's own address."""
        if self._defaults.host_gateway_ips:
            return list(self._defaults.host_gateway_ips)
        bridge = self._store.named("bridge")
        return [str(pool.gateway) for pool in bridge.pools if pool.gateway] if bridge else []

    def _publish(self, held: Held, wanted: list[PortRequest]) -> None:
        leading = held.gateways.four or held.gateways.six
        if leading is None or not wanted:
            return
        try:
            self._announce(held.gateways)
            held.published = held.published + self._publisher.publish(wanted, held.gateways)
        except SampanError as error:
            raise type(error)(
                f"driver failed programming external connectivity on endpoint {held.name} ({leading.id}): {error}"
            ) from error

    async def _plug(self, held: Held, stored: Stored, settings: EndpointSettings) -> list[Interface]:
        endpoint = self._endpoint(held, stored, settings)
        held.endpoints[stored.network.name] = endpoint
        if stored.network.driver in ("null", "host"):
            return []
        await self._address(endpoint)
        endpoint.interface = self._interface_name(held, stored, settings)
        interface = await self._driver(stored).plug(endpoint, held.netns_fd)
        endpoint.plugged = True
        return [replace(interface, addresses=(*interface.addresses, *_link_local(settings)))]

    def _driver(self, stored: Stored) -> Driver:
        driver = self._drivers.get(stored.network.driver)
        if driver is None:
            raise NotFound(f'plugin "{stored.network.driver}" not found')
        return driver

    def _endpoint(self, held: Held, stored: Stored, settings: EndpointSettings) -> Endpoint:
        if stored.network.config_only:
            raise Forbidden("cannot create endpoint on configuration-only network")
        request = held.request
        endpoint = Endpoint(new_id(), stored, request.container_id, held.name, settings,
                            port_bindings=request.port_bindings, exposed_ports=request.exposed_ports)  # fmt: skip
        if not stored.is_default and stored.network.driver not in ("null", "host"):
            short = request.container_id[:12]
            names = (held.name, *(settings.aliases or ()), short, request.hostname or short)
            endpoint.names = list(dict.fromkeys(names))
        return endpoint

    async def _address(self, endpoint: Endpoint) -> None:
        stored, settings = endpoint.network, endpoint.settings
        wanted = settings.ipam_config
        pools = stored.pools
        if stored.network.enable_ipv4:
            given = await pools.give(4, wanted.ipv4_address if wanted else "")
            endpoint.address4 = given if given.version == 4 else None
            endpoint.gateway4 = self._gateway(stored, given)
        if stored.network.enable_ipv6:
            given = await pools.give(6, wanted.ipv6_address if wanted else "")
            endpoint.address6 = given if given.version == 6 else None
            endpoint.gateway6 = self._gateway(stored, given)
        endpoint.mac = settings.mac_address or next((mac_of(address.ip) for address in endpoint.addresses), "")

    def _gateway(self, stored: Stored, given: IPInterface) -> IPAddress | None:
        if stored.network.internal or stored.options.gateway_mode(given.version) == "isolated":
            return None
        return stored.pools.gateway(given.version, given.ip)

    def _interface_name(self, held: Held, stored: Stored, settings: EndpointSettings) -> str:
        prefix, whole = interface_prefix(stored, settings.driver_opts)
        taken = {endpoint.interface for endpoint in held.endpoints.values()}
        if whole:
            if prefix in taken:
                raise InvalidArgument(f"interface name {prefix} is already in use")
            return prefix
        return next(name for name in (f"{prefix}{number}" for number in range(len(taken) + 1)) if name not in taken)

    async def detach(self, container_id: str) -> None:
        """The container has ended: its addresses and ports are free. The kernel drops its links with its namespace."""
        held = self._held.pop(container_id, None)
        if held is not None:
            async with held.lock:
                await self._release(held, running=False)

    async def _release(self, held: Held, *, running: bool) -> None:
        if held.resolver is not None:
            held.resolver.close()
            held.resolver = None
        self._publisher.unpublish(held.published)
        held.published = []
        for name, endpoint in list(held.endpoints.items()):
            try:
                await self._let_go(held, endpoint, running=running)
            except (OSError, SampanError) as error:
                # The rest is to be given back all the same.
                log.warning("container %s cannot be taken off network %s: %s", held.name, name, error)
            del held.endpoints[name]
            self._free(endpoint)
        if held.netns_fd >= 0:
            os.close(held.netns_fd)
            held.netns_fd = -1

    async def _let_go(self, held: Held, endpoint: Endpoint, *, running: bool) -> None:
        driver = self._drivers.get(endpoint.network.network.driver)
        if driver is None or not endpoint.plugged:
            return
        if running:
            await driver.unplug(endpoint, held.netns_fd)
        else:
            driver.abandon(endpoint)

    async def connect(self, container_id: str, stored: Stored, settings: EndpointSettings) -> EndpointSettings:
        """Plug a running container into one more network."""
        held = self._running(container_id)
        async with held.lock:
            if stored.network.name in held.endpoints:
                raise Forbidden(f"endpoint with name {held.name} already exists in network {stored.network.name}")
            try:
                interfaces = await self._plug(held, stored, settings)
                self._move(held, tuple(interfaces))
                self._serve_names(held)
            except BaseException:
                await self._unplug(held, stored)
                raise
            return held.endpoints[stored.network.name].shown()

    async def disconnect(self, container_id: str, stored: Stored) -> None:
        """Unplug a running container from a network."""
        held = self._running(container_id)
        async with held.lock:
            if stored.network.name not in held.endpoints:
                raise Forbidden(f"container {container_id} is not connected to network {stored.network.name}")
            await self._unplug(held, stored)

    async def _unplug(self, held: Held, stored: Stored) -> None:
        endpoint = held.endpoints.pop(stored.network.name, None)
        if endpoint is None:
            return
        try:
            if endpoint.plugged:
                # The routes through the link go with it; ports move to the gateway that is left.
                if endpoint in (held.gateways.four, held.gateways.six):
                    self._publisher.suspend(held.published)
                await self._driver(stored).unplug(endpoint, held.netns_fd)
                _forget_gateway(held, endpoint)
                self._move(held, ())
        finally:
            self._free(endpoint)

    def _free(self, endpoint: Endpoint) -> None:
        self._directory.remove(endpoint)
        for address in endpoint.addresses:
            endpoint.network.pools.release(address.ip)

    def _move(self, held: Held, interfaces: tuple[Interface, ...]) -> None:
        """Set up new interfaces, and change default routes and published ports to the gateways that are due now."""
        old, new = held.gateways, choose_gateways(held.endpoints.values())
        changed = [version for version in (4, 6) if old.of(version) is not new.of(version)]
        setup = Setup(
            interfaces=interfaces,
            old_gateways=tuple(route for route in _routes(old) if route.version in changed),
            gateways=tuple(route for route in _routes(new) if route.version in changed),
        )
        self._namespaces.set_up(held.netns_fd, setup)
        held.gateways = new
        if not changed:
            return
        self._publisher.suspend(held.published)
        if not held.published:
            request = held.request
            self._publish(held, requests(request.port_bindings, request.exposed_ports, request.publish_all))
        elif new.four or new.six:
            self._announce(new)
            self._publisher.resume(held.published, new)

    def _running(self, container_id: str) -> Held:
        held = self._held.get(container_id)
        if held is None:
            raise NotFound(f"container {container_id} is not running")
        return held

    def rename(self, container_id: str, name: str) -> None:
        """The container has a new name."""
        held = self._held.get(container_id)
        if held is None:
            return
        for endpoint in held.endpoints.values():
            endpoint.names = [name if known == held.name else known for known in endpoint.names]
            endpoint.container_name = name
            self._directory.add(endpoint)
        held.name = name

    async def publish(self, container_id: str, add: PortMap, remove: Iterable[str]) -> PortMap:
        """Open and close ports of a running container; `remove` are host ports, `8080` or `8080/udp`."""
        held = self._running(container_id)
        async with held.lock:
            remove = list(remove)
            leaving = [_published_at(held, text) for text in remove]
            leading = held.gateways.four or held.gateways.six
            if add and leading is None:
                raise InvalidArgument(f"container {held.name} is on no network that can publish ports")
            before, published = held.published, held.shown().ports
            self._publish(held, requests(add))
            try:
                await self._bind_anew(held, changed_bindings(held.request.port_bindings, add, remove, published))
            except BaseException:
                self._publisher.unpublish([one for one in held.published if one not in before])
                held.published = before
                raise
            self._publisher.unpublish(leaving)
            held.published = [one for one in held.published if one not in leaving]
            return held.shown().ports

    async def _bind_anew(self, held: Held, bindings: PortMap) -> None:
        """Tell the networks that publish ports by themselves."""
        for endpoint in held.endpoints.values():
            if endpoint.plugged:
                await self._driver(endpoint.network).bind_anew(endpoint, bindings)
        held.request = replace(held.request, port_bindings=bindings)

    def restore(self, request: SandboxRequest) -> Sandbox:
        """Take over a container that ran on while the daemon was away; nothing in it is touched."""
        held = Held(request, os.dup(request.netns_fd) if request.netns_fd >= 0 else -1, request.name)
        for ref, settings in request.networks.items():
            try:
                stored = self._store.get(settings.network_id or ref)
            except NotFound as error:
                log.warning("container %s: %s", request.name, error)
                continue
            held.endpoints[stored.network.name] = self._restored(held, stored, settings)
        held.gateways = choose_gateways(held.endpoints.values())
        self._held[request.container_id] = held
        self._serve_names(held)
        wanted = requests(request.port_bindings, request.exposed_ports, request.publish_all)
        if (held.gateways.four or held.gateways.six) and wanted:
            held.published = self._publisher.publish(restored(wanted, request.published or {}), held.gateways)
        return held.shown()

    def _restored(self, held: Held, stored: Stored, settings: EndpointSettings) -> Endpoint:
        endpoint = self._endpoint(held, stored, msgspec.structs.replace(settings))
        endpoint.id = settings.endpoint_id or endpoint.id
        if stored.network.driver in ("null", "host"):
            return endpoint
        endpoint.mac, endpoint.plugged = settings.mac_address, True
        endpoint.interface = self._interface_name(held, stored, settings)
        if settings.ip_address:
            endpoint.address4 = ip_interface(f"{settings.ip_address}/{settings.ip_prefix_len}")
            endpoint.gateway4 = ip_address(settings.gateway) if settings.gateway else None
        if settings.global_ipv6_address:
            text = f"{settings.global_ipv6_address}/{settings.global_ipv6_prefix_len}"
            endpoint.address6 = ip_interface(text)
            endpoint.gateway6 = ip_address(settings.ipv6_gateway) if settings.ipv6_gateway else None
        for address in endpoint.addresses:
            stored.pools.mark(address.ip)
        return endpoint


def _link_local(settings: EndpointSettings) -> list[IPInterface]:
    asked = (settings.ipam_config.link_local_ips if settings.ipam_config else None) or ()
    return [ip_interface(f"{text}/{64 if ':' in text else 16}") for text in asked]


def _forget_gateway(held: Held, endpoint: Endpoint) -> None:
    four, six = held.gateways.four, held.gateways.six
    held.gateways = replace(
        held.gateways, four=None if four is endpoint else four, six=None if six is endpoint else six
    )


def _routes(gateways: Gateways) -> tuple[Gateway, ...]:
    found = []
    for version in (4, 6):
        endpoint = gateways.of(version)
        if endpoint is not None:
            found.append(Gateway(endpoint.interface, version, endpoint.gateway(version)))
    return tuple(found)


def _published_at(held: Held, text: str) -> Published:
    port, _, protocol = text.partition("/")
    for one in held.published:
        # Where the network publishes by itself nothing is reserved here.
        numbers = [reserved.port for reserved in one.reservations] or [one.request.first]
        if one.request.protocol == (protocol or "tcp") and port in map(str, numbers):
            return one
    raise NotFound(f"container {held.name} does not publish port {text}")
