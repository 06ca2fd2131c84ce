"""Network drivers and address management of others, by Docker's plugin protocol.

https://github.com/moby/moby/blob/master/daemon/libnetwork/docs/remote.md and ipam.md describe the calls.
"""

from __future__ import annotations

import asyncio
import logging
from ipaddress import ip_interface
from typing import TYPE_CHECKING, Any

import msgspec

from ..cas.threads import run_abandonable
from ..errors import NotFound, SampanError
from ..linux import rtnetlink
from ..linux.rtnetlink import Route
from ..model.container import PortMap
from ..plugin import Directories, Unsupported
from .endpoint import Endpoint
from .firewall import PROTOCOLS
from .ipam import IPInterface, Pools
from .netns import Interface, Namespaces
from .ports import parse_port, requests
from .spec import IPAMPool, Network
from .store import Stored

if TYPE_CHECKING:
    from ..plugin.calls import Plugin

log = logging.getLogger("sampan.network")

GENERIC = "com.docker.network.generic"
ENABLE_IPV6 = "com.docker.network.enable_ipv6"
INTERNAL = "com.docker.network.internal"
ADDRESS_TYPE = "RequestAddressType"
GATEWAY_TYPE = "com.docker.network.gateway"
PORT_MAP = "com.docker.network.portmap"
EXPOSED_PORTS = "com.docker.network.endpoint.exposedports"


class Remotes:
    """The plugins that are known by name."""

    def __init__(self, directories: Directories) -> None:
        self._directories = directories
        self._known: dict[tuple[str, str], Plugin] = {}

    async def get(self, name: str, interface: str) -> Plugin:
        """The plugin of that name that implements `NetworkDriver` or `IpamDriver`; NotFound in Docker's words."""
        if (name, interface) not in self._known:
            address = self._directories.find(name)
            if address is None:
                raise NotFound(f'plugin "{name}" not found')
            from ..plugin.calls import Plugin  # http.client and the mail parser that it needs: 1 MB

            plugin = Plugin(name, address)
            if interface not in await run_abandonable(plugin.implements):
                raise NotFound(f'plugin "{name}" does not implement {interface}')
            self._known[name, interface] = plugin
        return self._known[name, interface]


async def call(plugin: Plugin, method: str, **body: Any) -> dict[str, Any]:
    """One call, in a thread of its own: the executor has few, and a plugin may not answer for half a minute."""
    return await run_abandonable(lambda: plugin.call(method, body))


async def call_quietly(plugin: Plugin, method: str, **body: Any) -> None:
    """A call that gives something back: a plugin that fails is reported, and holds up nothing."""
    try:
        await call(plugin, method, **body)
    except SampanError as error:
        log.warning("plugin %s: %s", plugin.name, error)


class RemoteDriver:
    """See `endpoint.Driver`."""

    def __init__(self, plugin: Plugin, route: Route, namespaces: Namespaces) -> None:
        self._plugin = plugin
        self._route = route
        self._namespaces = namespaces
        self._tasks: set[asyncio.Task[None]] = set()

    async def create(self, stored: Stored) -> None:
        """Tell the plugin of a network."""
        network = stored.network
        options = {GENERIC: network.options, ENABLE_IPV6: network.enable_ipv6, INTERNAL: network.internal}
        data = {version: [_pool_data(pool) for pool in stored.pools.of(version)] for version in (4, 6)}
        await call(self._plugin, "NetworkDriver.CreateNetwork", NetworkID=network.id, Options=options,
                   IPv4Data=data[4], IPv6Data=data[6])  # fmt: skip

    async def restore(self, stored: Stored) -> None:
        """The plugin keeps its own state."""

    async def remove(self, stored: Stored) -> None:
        """Tell the plugin that the network is gone."""
        await call_quietly(self._plugin, "NetworkDriver.DeleteNetwork", NetworkID=stored.network.id)

    def _ids(self, endpoint: Endpoint) -> dict[str, str]:
        return {"NetworkID": endpoint.network.network.id, "EndpointID": endpoint.id}

    async def plug(self, endpoint: Endpoint, netns_fd: int) -> Interface:
        """The plugin makes a link and names it; it is moved into the container."""
        ids = self._ids(endpoint)
        asked = {"Address": str(endpoint.address4 or ""), "AddressIPv6": str(endpoint.address6 or ""),
                 "MacAddress": endpoint.settings.mac_address}  # fmt: skip
        options = endpoint.settings.driver_opts or {}
        answer = await call(self._plugin, "NetworkDriver.CreateEndpoint", **ids, Interface=asked, Options=options)
        try:
            given = answer.get("Interface") or {}
            endpoint.mac = given.get("MacAddress") or endpoint.settings.mac_address
            joined = await call(self._plugin, "NetworkDriver.Join", **ids, SandboxKey=f"/proc/self/fd/{netns_fd}",
                                Options=options)  # fmt: skip
            interface = self._take_in(endpoint, joined, netns_fd)
            await self._publish(endpoint)
            return interface
        except BaseException:
            await call_quietly(self._plugin, "NetworkDriver.DeleteEndpoint", **ids)
            raise

    async def _publish(self, endpoint: Endpoint) -> None:
        """Published ports are the plugin's to open, where it can."""
        options = {PORT_MAP: _port_map(endpoint), EXPOSED_PORTS: _exposed(endpoint)}
        try:
            await call(
                self._plugin, "NetworkDriver.ProgramExternalConnectivity", **self._ids(endpoint), Options=options
            )
        except Unsupported:
            if endpoint.port_bindings:
                log.warning("plugin %s does not publish ports: those of container %s are not reached from outside",
                            self._plugin.name, endpoint.container_name)  # fmt: skip

    def _take_in(self, endpoint: Endpoint, joined: dict[str, Any], netns_fd: int) -> Interface:
        named = joined.get("InterfaceName") or {}
        prefix = named.get("DstPrefix") or ""
        if prefix:
            endpoint.interface = prefix + endpoint.interface.lstrip("abcdefghijklmnopqrstuvwxyz")
        for version, field in ((4, "Gateway"), (6, "GatewayIPv6")):
            if joined.get(field):
                gateway = ip_interface(joined[field]).ip
                if version == 4:
                    endpoint.gateway4 = gateway
                else:
                    endpoint.gateway6 = gateway
        link = self._route.link(str(named.get("SrcName") or ""))
        if link is None:
            raise SampanError(f"plugin {self._plugin.name} made no interface {named.get('SrcName')!r}")
        self._route.request(rtnetlink.set_link(link.index, up=False, name=endpoint.interface, netns_fd=netns_fd))
        return Interface(endpoint.interface, endpoint.addresses, mac=endpoint.mac)

    def publishes(self, endpoint: Endpoint) -> None:
        """The plugin has been told which ports with the endpoint."""

    async def bind_anew(self, endpoint: Endpoint, bindings: PortMap) -> None:
        """Tell the plugin; one that refuses keeps what it had."""
        before = endpoint.port_bindings
        await self._revoke(endpoint)
        endpoint.port_bindings = bindings
        try:
            await self._publish(endpoint)
        except BaseException:
            endpoint.port_bindings = before
            try:
                await self._publish(endpoint)
            except SampanError as error:
                log.warning("plugin %s does not publish the ports of container %s again: %s",
                            self._plugin.name, endpoint.container_name, error)  # fmt: skip
            raise

    async def _revoke(self, endpoint: Endpoint) -> None:
        if endpoint.port_bindings:
            await call_quietly(self._plugin, "NetworkDriver.RevokeExternalConnectivity", **self._ids(endpoint))

    def abandon(self, endpoint: Endpoint) -> None:
        """Tell the plugin, beside the caller."""
        task = asyncio.get_running_loop().create_task(self._leave(endpoint))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _leave(self, endpoint: Endpoint) -> None:
        ids = self._ids(endpoint)
        await self._revoke(endpoint)
        await call_quietly(self._plugin, "NetworkDriver.Leave", **ids)
        await call_quietly(self._plugin, "NetworkDriver.DeleteEndpoint", **ids)

    async def unplug(self, endpoint: Endpoint, netns_fd: int) -> None:
        """Take the link out of a container that goes on; the plugin deletes what is left of it."""
        with self._namespaces.inside(netns_fd):
            route = Route()
        try:
            link = route.link(endpoint.interface)
            if link is not None:
                await asyncio.to_thread(route.request, rtnetlink.delete(link.index))
        finally:
            route.close()
        await self._leave(endpoint)


def _port_map(endpoint: Endpoint) -> list[dict[str, Any]]:
    """Docker's `types.PortBinding`, of which plugins know the fields."""
    return [
        {"Proto": PROTOCOLS[one.protocol], "IP": "", "Port": one.port, "HostIP": str(one.host or ""),
         "HostPort": one.first, "HostPortEnd": one.last}
        for one in requests(endpoint.port_bindings)
    ]  # fmt: skip


def _exposed(endpoint: Endpoint) -> list[dict[str, int]]:
    ports = (parse_port(text) for text in endpoint.exposed_ports)
    return [{"Proto": PROTOCOLS[protocol], "Port": port} for port, protocol in ports]


def _pool_data(pool: Any) -> dict[str, Any]:
    gateway = str(pool.interface(pool.gateway)) if pool.gateway else ""
    auxiliary = pool.config.auxiliary_addresses or {}
    return {"AddressSpace": "LocalDefault", "Pool": str(pool.subnet), "Gateway": gateway, "AuxAddresses": auxiliary}


class RemotePools(Pools):
    """Pools whose addresses a plugin gives; `pool_ids` are the plugin's names of them, by subnet."""

    def __init__(self, configs: list[IPAMPool], owner: str, plugin: Plugin, pool_ids: dict[str, str]) -> None:
        super().__init__(configs, owner)
        self._plugin = plugin
        self._pool_ids = pool_ids
        self._tasks: set[asyncio.Task[None]] = set()

    async def give(self, version: int, wanted: str = "") -> IPInterface:
        """Ask the plugin."""
        for pool in self.of(version):
            body = {"PoolID": self._pool_ids[str(pool.subnet)], "Address": wanted, "Options": None}
            answer = await call(self._plugin, "IpamDriver.RequestAddress", **body)
            interface = ip_interface(str(answer.get("Address")))
            self.mark(interface.ip)
            return interface
        return self.take(version, wanted)

    def release(self, address: Any) -> None:
        """Give it back to the plugin, beside the caller."""
        super().release(address)
        for pool in self:
            if address in pool:
                body = {"PoolID": self._pool_ids[str(pool.subnet)], "Address": str(address)}
                task = asyncio.get_running_loop().create_task(
                    call_quietly(self._plugin, "IpamDriver.ReleaseAddress", **body)
                )
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)


async def request_pools(plugin: Plugin, network: Network) -> tuple[list[IPAMPool], dict[str, str]]:
    """Pools from the plugin for what a network asks: with gateways, and the plugin's ids by subnet."""
    spaces = await call(plugin, "IpamDriver.GetDefaultAddressSpaces")
    space = str(spaces.get("LocalDefaultAddressSpace") or "")
    asked = list(network.ipam.config or ()) or [IPAMPool()]
    if network.enable_ipv6 and not any(":" in pool.subnet for pool in asked):
        asked.append(IPAMPool(subnet="v6"))
    pools, ids = [], {}
    for pool in asked:
        six = ":" in pool.subnet or pool.subnet == "v6"
        subnet = "" if pool.subnet == "v6" else pool.subnet
        answer = await call(plugin, "IpamDriver.RequestPool", AddressSpace=space, Pool=subnet, SubPool=pool.ip_range,
                            Options=network.ipam.options, V6=six)  # fmt: skip
        identity, subnet = str(answer.get("PoolID")), str(answer.get("Pool"))
        gateway = pool.gateway
        if not gateway:
            options = {ADDRESS_TYPE: GATEWAY_TYPE}
            given = await call(plugin, "IpamDriver.RequestAddress", PoolID=identity, Address="", Options=options)
            gateway = str(ip_interface(str(given.get("Address"))).ip)
        pools.append(msgspec.structs.replace(pool, subnet=subnet, gateway=gateway))
        ids[subnet] = identity
    return pools, ids


async def release_pools(plugin: Plugin, stored: Stored) -> None:
    """Give the gateways and the pools of a network back."""
    for pool in stored.pools:
        identity = stored.pool_ids.get(str(pool.subnet), "")
        if pool.gateway is not None:
            await call_quietly(plugin, "IpamDriver.ReleaseAddress", PoolID=identity, Address=str(pool.gateway))
        await call_quietly(plugin, "IpamDriver.ReleasePool", PoolID=identity)
