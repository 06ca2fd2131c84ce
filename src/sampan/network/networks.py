"""The networks of one engine: the facade that the engine uses."""

from __future__ import annotations

import asyncio
import builtins
import logging
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from ..db import Database
from ..errors import Forbidden, NotFound, SampanError
from ..linux.rtnetlink import Route
from ..model import times
from ..model.container import EndpointSettings, PortMap
from ..model.filters import Filters
from ..plugin import Directories
from . import files, foreign
from .bridge import BridgeDriver, delete_link
from .config import NetworkDefaults
from .creation import PREDEFINED, describe, new_id, with_pools
from .default import default_bridge
from .endpoint import Driver, Endpoint
from .filters import check_filters, matches, prunable
from .firewall import Firewall
from .inspection import Inspection
from .ipam import IPNetwork
from .netns import Namespaces, address_text
from .options import NAME
from .ports import PortAllocator
from .publishing import Publisher
from .remote import RemoteDriver, RemotePools, Remotes, release_pools, request_pools
from .sandbox import Files, Sandbox, SandboxRequest
from .sandboxes import Sandboxes
from .spec import Network, NetworkContainer, NetworkSpec
from .store import Store, Stored
from .sublink import MODE_OPTIONS, SublinkDriver
from .watch import Watch
from .zone import HOST_NAMES

if TYPE_CHECKING:
    from .overlay import OverlayDriver

OWN_IPAM = ("", "default", "null")

log = logging.getLogger("sampan.network")


class Networks:
    """Open it with `Networks.open` on the event loop's thread, in the network namespace that it is to manage.

    `copy` is a file that fills a lost database again.
    """

    def __init__(self, db: Database, defaults: NetworkDefaults, copy: str = "") -> None:
        self._defaults = defaults
        self._store = Store(db, copy)
        self._route = Route()
        self._firewall = Firewall(ipv4=defaults.iptables, ipv6=defaults.ip6tables, table=_table_name(defaults))
        self._bridge = BridgeDriver(self._route, self._firewall, defaults)
        self._namespaces = Namespaces()
        self._drivers: dict[str, Driver] = {"bridge": self._bridge}
        for kind in MODE_OPTIONS:
            self._drivers[kind] = SublinkDriver(kind, self._route, self._namespaces, lambda: self._store)
        publisher = Publisher(self._firewall, PortAllocator(), defaults)
        self._sandboxes = Sandboxes(self._store, self._drivers, publisher, defaults, self._namespaces)
        self._overlay: OverlayDriver | None = None
        self._remotes = Remotes(Directories(defaults.plugin_dirs, defaults.plugin_dirs))
        self.inspection = Inspection(self._store, self._sandboxes, self._firewall, self._route, self._namespaces)
        self.warnings: list[str] = self._bridge.warnings
        self._watch: Watch | None = None
        self._changing = asyncio.Lock()

    @classmethod
    async def open(cls, db: Database, defaults: NetworkDefaults) -> Networks:
        """Construct and start."""
        networks = cls(db, defaults)
        await networks.start()
        return networks

    async def start(self) -> None:
        """Make what the kernel lacks of the networks; failures become warnings, so that the daemon always starts."""
        self.warnings += [f"network {one}: its record cannot be read" for one in self._store.unreadable]
        self.warnings += [f"network {name}: rebuilt from its copy" for name in self._store.rebuilt]
        try:
            self._predefine()
        except (SampanError, ValueError) as error:
            self.warnings.append(f"the default bridge cannot be had: {error}")
        await self._restore_networks()
        await self._bridge.collect({stored.network.id for stored in self._store} | set(self._store.unreadable))
        try:
            self._firewall.guard = self._firewall.guard or self._firewall.guarded()
            self._firewall.load()
            self._firewall.admit()
            self.warnings += foreign.legacy_warnings() if self._firewall.enabled else []
            if self._firewall.enabled:
                self._watch = Watch(self._firewall, self._mended, self._not_mended)
        except OSError as error:
            self.warnings.append(f"the firewall cannot be set up: {error}")

    def _mended(self) -> None:
        log.warning("another program changed the firewall's table `inet sampan`; it was mended")

    def _not_mended(self, error: OSError) -> None:
        log.error("another program changed the firewall, and it cannot be mended: %s", error)

    async def close(self) -> None:
        """Let go; links, rules and connections stay."""
        if self._watch is not None:
            self._watch.close()
        if self._overlay is not None:
            self._overlay.close()
        self._sandboxes.close()
        self._firewall.close()
        self._namespaces.close()
        self._route.close()

    # Networks

    def _predefine(self) -> None:
        for name, driver in (("none", "null"), ("host", "host")):
            if self._store.named(name) is None:
                network = Network(name=name, id=new_id(), created=times.now(), driver=driver)
                self._store.save(Stored(network, []))
        old = self._store.named("bridge")
        if self._defaults.bridge == "none":
            if old is not None:
                self._store.forget(old)
            return
        adopted = "" if old is not None and old.made_link else self._address_of(self._defaults.bridge)
        network = default_bridge(self._defaults, old.network if old else None, adopted)
        if old is not None and old.network == network:
            return
        if old is not None:
            self._store.forget(old)
        fresh = with_pools(network, self._store, self._defaults, self._host_subnets(self._defaults.bridge))
        shown = fresh.effective  # Docker shows the default bridge's gateway always
        network = msgspec.structs.replace(fresh.network, ipam=msgspec.structs.replace(network.ipam, config=shown))
        self._store.save(Stored(network, fresh.effective, old.made_link if old else False))

    def _address_of(self, name: str) -> str:
        link = self._route.link(name)
        held = [one for index, one in self._route.addresses() if link and index == link.index and one.version == 4]
        return str(held[0]) if held else ""

    async def _restore_networks(self) -> None:
        for stored in self._store:
            if stored.network.config_only or stored.network.driver in ("null", "host"):
                continue
            try:
                await self._load_driver(stored.network.driver)
                if stored.pool_ids:
                    plugin = await self._remotes.get(stored.network.ipam.driver, "IpamDriver")
                    stored.pools = RemotePools(stored.effective, stored.network.name, plugin, stored.pool_ids)
                await self._drivers[stored.network.driver].restore(stored)
                self._store.save(stored)
            except (OSError, SampanError) as error:
                self.warnings.append(f"network {stored.network.name} could not be restored: {error}")

    def _host_subnets(self, except_link: str = "") -> builtins.list[IPNetwork]:
        skipped = self._route.link(except_link) if except_link else None
        index = skipped.index if skipped else -1
        found = [address.network for link, address in self._route.addresses() if link != index]
        found += [to for to, _, link in self._route.routes() if link != index and to.prefixlen]
        return found

    async def create(self, spec: NetworkSpec) -> Network:
        """Make a network."""
        async with self._changing:
            return await self._create(spec)

    async def _create(self, spec: NetworkSpec) -> Network:
        if spec.driver and spec.driver not in ("host", "null"):
            await self._load_driver(spec.driver)
        network = describe(spec, self._store, self._defaults)
        if network.config_only:
            self._store.save(Stored(network, []))
            return network
        self._refuse_same_bridge(network)
        stored = await self._with_pools(network)
        try:
            await self._drivers[network.driver].create(stored)
        except BaseException:
            await self._return_pools(stored)
            raise
        self._store.save(stored)
        return stored.network

    def _refuse_same_bridge(self, network: Network) -> None:
        for other in self._store:
            link = network.options.get(NAME, "")
            if link and link == other.link and other.network.driver in ("bridge", "overlay"):
                raise Forbidden(f"cannot create network {network.id} ({link}): conflicts with network "
                                f"{other.network.id} ({link}): networks have same bridge name")  # fmt: skip

    async def _load_driver(self, name: str) -> None:
        if name == "overlay":
            self._load_overlay()
        elif name not in self._drivers:
            plugin = await self._remotes.get(name, "NetworkDriver")
            self._drivers[name] = RemoteDriver(plugin, self._route, self._namespaces)

    def _load_overlay(self) -> OverlayDriver:
        """With encryption and key-value stores it is half a megabyte that most daemons do without."""
        if self._overlay is None:
            from .overlay import OverlayDriver

            self._overlay = OverlayDriver(self._route, self._bridge, self._sandboxes.peer_names, self._store.save)
            self._drivers["overlay"] = self._overlay
        return self._overlay

    async def _with_pools(self, network: Network) -> Stored:
        if network.ipam.driver not in OWN_IPAM:
            plugin = await self._remotes.get(network.ipam.driver, "IpamDriver")
            pools, ids = await request_pools(plugin, network)
            shown = msgspec.structs.replace(network, ipam=msgspec.structs.replace(network.ipam, config=pools))
            stored = Stored(shown, pools, pool_ids=ids)
            stored.pools = RemotePools(pools, stored.network.name, plugin, ids)
            return stored
        stored = with_pools(network, self._store, self._defaults, self._host_subnets())
        return await self._load_overlay().prepared(stored) if network.driver == "overlay" else stored

    async def _return_pools(self, stored: Stored) -> None:
        if stored.pool_ids:
            await release_pools(await self._remotes.get(stored.network.ipam.driver, "IpamDriver"), stored)

    def get(self, ref: str) -> Network:
        """By name, id or unique id prefix."""
        return self._store.get(ref).network

    def members(self, ref: str) -> dict[str, NetworkContainer]:
        """The running containers on a network, by container id."""
        return {one.container_id: _member(one) for one in self._sandboxes.on(self._store.get(ref))}

    def list(self, filters: Filters) -> Sequence[Network]:
        """Networks that match Docker's filters; by name."""
        check_filters(filters)
        found = [one.network for one in self._store if matches(one.network, filters, self._dangling(one))]
        return sorted(found, key=lambda network: network.name)

    def _dangling(self, stored: Stored) -> bool:
        return stored.network.name not in PREDEFINED and not self._sandboxes.on(stored)

    async def remove(self, ref: str) -> Network:
        """Remove a network that no running container is on."""
        async with self._changing:
            return await self._remove(ref)

    async def _remove(self, ref: str) -> Network:
        stored = self._store.get(ref)
        network = stored.network
        if network.name in PREDEFINED:
            raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
        if network.config_only:
            users = [other for other in self._store if other.network.config_from.network == network.name]
            if users:
                raise Forbidden(f'error while removing network: configuration network "{network.name}" '
                                "is in use")  # fmt: skip
        active = self._sandboxes.on(stored)
        if active:
            raise Forbidden(f"error while removing network: network {network.name} has active endpoints "
                            f"({_endpoints_text(active)})")  # fmt: skip
        driver = self._drivers.get(network.driver)
        if driver is not None and not network.config_only:
            await driver.remove(stored)
            await self._return_pools(stored)
        self._store.forget(stored)
        return network

    async def prune(self, filters: Filters) -> Sequence[Network]:
        """Remove the networks that no container uses; `until` and `label` restrict it."""
        gone = []
        for stored in self._store:
            network = stored.network
            if network.config_only or not self._dangling(stored) or not prunable(network, filters):
                continue
            gone.append(await self.remove(network.id))
        return gone

    # Containers

    async def attach(self, request: SandboxRequest) -> Sandbox:
        """Plug a starting container into all its networks; all or nothing."""
        return await self._sandboxes.attach(request)

    async def detach(self, container_id: str) -> None:
        """The container has ended: its addresses and ports are free on return."""
        await self._sandboxes.detach(container_id)

    async def connect(self, container_id: str, ref: str, settings: EndpointSettings) -> EndpointSettings:
        """Plug a running container into one more network; the settings with what was given."""
        return await self._sandboxes.connect(container_id, self._store.get(ref), settings)

    async def disconnect(self, container_id: str, ref: str) -> None:
        """Unplug a running container from a network."""
        await self._sandboxes.disconnect(container_id, self._store.get(ref))

    async def restore(self, requests: Iterable[SandboxRequest]) -> dict[str, Sandbox]:
        """Take over the containers that run on after a restart, by id; failures become warnings."""
        found = {}
        for request in requests:
            try:
                found[request.container_id] = self._sandboxes.restore(request)
            except (OSError, SampanError) as error:
                self.warnings.append(f"networks of container {request.name} could not be restored: {error}")
        await self._remove_orphans()
        return found

    async def _remove_orphans(self) -> None:
        """Delete the links of containers that are gone: the daemon died while it plugged or unplugged them."""
        links = self._route.links()
        bridges = {link.index for link in links if link.name in {one.link for one in self._store}}
        wanted = {endpoint.link for stored in self._store for endpoint in self._sandboxes.on(stored)}
        for link in links:
            ours = link.master in bridges and link.kind == "veth" and re.fullmatch("vsp[0-9a-f]{10}", link.name)
            if ours and link.name not in wanted:
                await delete_link(link.name)

    async def publish(self, container_id: str, add: PortMap, remove: Iterable[str]) -> PortMap:
        """Change the published ports of a running container; its ports afterwards."""
        return await self._sandboxes.publish(container_id, add, remove)

    def rename(self, container_id: str, name: str) -> None:
        """The container has a new name."""
        self._sandboxes.rename(container_id, name)

    def sandbox(self, container_id: str) -> Sandbox | None:
        """What a running container has."""
        held = self._sandboxes.get(container_id)
        return held.shown() if held else None

    def files(self, container_id: str) -> Files:
        """The files under /etc of a container that is attached; without links to containers that do not run."""
        held = self._sandboxes.get(container_id)
        if held is None:
            raise NotFound(f"container {container_id} has no sandbox")
        request = held.request
        short = request.hostname or request.container_id[:12]
        names = f"{short}.{request.domainname} {short}" if request.domainname else short
        entries = [*self._extra_hosts(request), *self._link_hosts(request)]
        for endpoint in held.endpoints.values():
            entries += [(str(address.ip), names) for address in endpoint.addresses]
        defaults = self._defaults
        overrides = files.Overrides(
            request.dns or defaults.dns, request.dns_search or defaults.dns_search,
            request.dns_options or defaults.dns_options,
        )  # fmt: skip
        internal = bool(held.named_endpoints)
        if not internal and held.reaches_out:
            # Where our resolver answers, it knows these names.
            entries += [(address, " ".join(HOST_NAMES)) for address in self._sandboxes.host_gateways()]
        ipv6 = any(endpoint.address6 for endpoint in held.endpoints.values())
        host = files.host_resolv_conf(defaults.resolv_conf, internal)
        content = files.resolv_conf(host, overrides, internal, ipv6=ipv6)
        return Files(files.hosts(entries), content.text(), short + "\n")

    def host_gateways(self) -> Sequence[str]:
        """The addresses that `host-gateway` stands for; empty where there are none."""
        return self._sandboxes.host_gateways()

    def _link_hosts(self, request: SandboxRequest) -> Sequence[tuple[str, str]]:
        entries = []
        for ref, alias in request.links:
            held = self._sandboxes.find(ref)
            endpoint = held.endpoints.get("bridge") if held else None
            if held is None or endpoint is None:
                continue
            names = dict.fromkeys((alias, held.request.hostname or held.request.container_id[:12], held.name))
            entries += [(str(address.ip), " ".join(names)) for address in endpoint.addresses]
        return entries

    def _extra_hosts(self, request: SandboxRequest) -> Sequence[tuple[str, str]]:
        entries = []
        for text in request.extra_hosts:
            name, _, address = text.partition("=") if "=" in text else text.partition(":")
            targets = self._sandboxes.host_gateways() if address == "host-gateway" else [address.strip("[]")]
            entries += [(target, name) for target in targets]
        return entries


def _table_name(defaults: NetworkDefaults) -> str:
    # Engines that share a namespace differ in their bridges.
    return "sampan" if defaults.bridge == NetworkDefaults().bridge else f"sampan-{defaults.bridge}"


def _member(endpoint: Endpoint) -> NetworkContainer:
    return NetworkContainer(
        name=endpoint.container_name,
        endpoint_id=endpoint.id,
        mac_address=endpoint.mac,
        ipv4_address=address_text(endpoint.address4),
        ipv6_address=address_text(endpoint.address6),
    )


def _endpoints_text(endpoints: list[Endpoint]) -> str:
    return ", ".join(f'name:"{one.container_name}" id:"{one.id[:12]}"' for one in endpoints)
