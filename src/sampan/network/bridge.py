"""The bridge driver: one Linux bridge per network, a veth pair per container."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from ipaddress import IPv4Address, IPv6Address

from ..errors import Forbidden
from ..linux import rtnetlink
from ..linux.netlink import NetlinkError
from ..linux.rtnetlink import Link, Route
from ..model.container import PortMap
from .config import NetworkDefaults
from .endpoint import Endpoint, mac_of
from .firewall import BridgeRules, Firewall
from .ipam import IPInterface
from .netns import Interface, read_sysctl, write_sysctls
from .options import ENDPOINT_INTERFACE, endpoint_sysctls, interface_name
from .store import Stored
from .tracking import forget_addresses

LINGER_SECONDS = 2.0
BRIDGE_NETFILTER = "net/bridge/bridge-nf-call-iptables"


class BridgeDriver:
    """See `endpoint.Driver`."""

    def __init__(self, route: Route, firewall: Firewall, defaults: NetworkDefaults) -> None:
        self._route = route
        self._firewall = firewall
        self._defaults = defaults
        self._index: dict[str, int] = {}
        self.warnings: list[str] = []

    def alias(self, network_id: str) -> str:
        """How our bridges are marked (`ip link` shows it): a bridge whose network is not known can be told by it."""
        return f"{self._firewall.table.name}: network {network_id}"

    async def collect(self, known: set[str]) -> None:
        """Delete our bridges of networks that are not known: the daemon died in between, or lost its database."""
        mark = self.alias("")
        for link in self._route.links():
            if link.kind == "bridge" and link.alias.startswith(mark) and link.alias.removeprefix(mark) not in known:
                self.warnings.append(f"the bridge {link.name} belonged to no network; it was deleted")
                await delete_link(link.name)

    async def create(self, stored: Stored) -> None:
        """Make the bridge, its addresses and its firewall elements."""
        link = self._route.link(stored.link)
        stored.made_link = link is None
        try:
            self._set_up(stored, link)
        except BaseException:
            if stored.made_link:
                await self.remove(stored)
            raise

    async def restore(self, stored: Stored) -> None:
        """Make again what is missing."""
        link = self._route.link(stored.link)
        stored.made_link = stored.made_link or link is None
        self._set_up(stored, link)

    def _set_up(self, stored: Stored, link: Link | None) -> None:
        if link is None:
            mac = _bridge_mac(stored)
            self._route.request(rtnetlink.bridge(stored.link, mac, stored.options.mtu))
            link = self._route.link(stored.link)
            if link is not None:
                self._route.request(rtnetlink.set_link(link.index, alias=self.alias(stored.network.id)))
        if link is None or link.kind != "bridge":
            raise Forbidden(f"existing interface {stored.link} is not a bridge")
        self._index[stored.link] = link.index
        self._forwarding(stored.network.enable_ipv6)
        self._sysctls(stored)
        self._addresses(stored, link)
        if not link.up:
            self._route.request(rtnetlink.set_link(link.index, up=True))
        self._firewall.change(add=self._rules(stored).elements())
        self._firewall.admit()

    def _sysctls(self, stored: Stored) -> None:
        name = stored.link
        settings = [(f"net/ipv4/conf/{name}/route_localnet", "1")] if self._firewall.ipv4 else []
        if os.path.isdir("/proc/sys/net/ipv6"):
            # IPv6 is off where it was not asked for (S27); router advertisements of containers are not heeded.
            off = "0" if stored.network.enable_ipv6 else "1"
            settings += [(f"net/ipv6/conf/{name}/accept_ra", "0"), (f"net/ipv6/conf/{name}/disable_ipv6", off)]
        try:
            write_sysctls(settings)
        except OSError as error:
            self.warnings.append(f"network {stored.network.name}: {error}")

    def _addresses(self, stored: Stored, link: Link) -> None:
        wanted = self.bridge_addresses(stored)
        present = [address for index, address in self._route.addresses() if index == link.index]
        if stored.made_link:
            for stale in present:
                if stale not in wanted and not stale.is_link_local:
                    self._route.request(rtnetlink.no_address(link.index, stale))
        for address in wanted:
            if address not in present:
                self._route.request(rtnetlink.address(link.index, address))

    def bridge_addresses(self, stored: Stored) -> list[IPInterface]:
        """The gateways that the bridge itself plays."""
        found = []
        for pool in stored.pools:
            version = pool.subnet.version
            isolated = stored.options.gateway_mode(version) == "isolated" and stored.network.internal
            if pool.gateway is None or isolated or (version == 4 and stored.options.inhibit_ipv4):
                continue
            found.append(pool.interface(pool.gateway))
        return found

    def _forwarding(self, ipv6: bool) -> None:
        if not self._defaults.ip_forward:
            return
        switches = ["net/ipv4/ip_forward"]
        if ipv6:
            switches += ["net/ipv6/conf/default/forwarding", "net/ipv6/conf/all/forwarding"]
        off = [path for path in switches if read_sysctl(path) == "0"]
        if not off:
            return
        if not self._firewall.guard:
            self._firewall.guard = True
            self._firewall.load()
        try:
            write_sysctls((path, "1") for path in off)
        except OSError as error:
            self.warnings.append(f"IP forwarding is off and cannot be turned on: {error}")

    def _rules(self, stored: Stored) -> BridgeRules:
        options, network = stored.options, stored.network
        masquerade = options.masquerade and (self._defaults.ip_masq or not stored.is_default)
        return BridgeRules(
            name=stored.link,
            icc=options.icc,
            internal=network.internal,
            mode4=options.gateway_mode_ipv4,
            mode6=options.gateway_mode_ipv6,
            masquerade4=masquerade and network.enable_ipv4,
            masquerade6=masquerade and network.enable_ipv6,
            source4=IPv4Address(options.host_ipv4) if options.host_ipv4 else None,
            source6=IPv6Address(options.host_ipv6) if options.host_ipv6 else None,
            trusted_interfaces=options.trusted_interfaces,
        )

    async def remove(self, stored: Stored) -> None:
        """Delete the bridge if we made it, and its elements."""
        self._firewall.change(remove=self._rules(stored).elements())
        self._firewall.admit()
        self._index.pop(stored.link, None)
        if stored.made_link:
            await delete_link(stored.link)

    async def plug(self, endpoint: Endpoint, netns_fd: int) -> Interface:
        """A veth pair between bridge and container."""
        stored = endpoint.network
        link = rtnetlink.veth(
            endpoint.link,
            endpoint.interface,
            netns_fd=netns_fd,
            master=self._bridge_index(stored),
            mtu=stored.options.mtu,
            peer_mac=endpoint.mac,
        )
        self._route.request(link)
        if not stored.options.icc and not self._filtered():
            self._set_port(endpoint, isolated=True)
        return Interface(endpoint.interface, endpoint.addresses, interface_sysctls(endpoint))

    def _bridge_index(self, stored: Stored) -> int:
        index = self._index.get(stored.link, 0)
        if not index:
            link = self._route.link(stored.link)
            index = self._index[stored.link] = link.index if link else 0
        return index

    def _filtered(self) -> bool:
        # With br_netfilter on, bridged packets pass the firewall: `icc=false` is its matter. Else the bridge isolates.
        return read_sysctl(BRIDGE_NETFILTER) == "1" and self._firewall.enabled

    def publishes(self, endpoint: Endpoint) -> None:
        """With br_netfilter on, a container that calls itself by a published port is answered over its own port."""
        if self._filtered():
            self._set_port(endpoint, hairpin=True)

    async def bind_anew(self, endpoint: Endpoint, bindings: PortMap) -> None:
        """Ports are not this driver's."""

    def _set_port(self, endpoint: Endpoint, *, hairpin: bool = False, isolated: bool = False) -> None:
        index = socket.if_nametoindex(endpoint.link)
        self._route.request(rtnetlink.bridge_port(index, hairpin=hairpin, isolated=isolated))

    def abandon(self, endpoint: Endpoint) -> None:
        """Take the link off the bridge at once. The kernel deletes it with the namespace; if that lasts, we do."""
        try:
            self._route.request(rtnetlink.off_bridge(endpoint.link))
        except NetlinkError as refusal:
            if refusal.errno != errno.ENODEV:
                raise
            return
        loop = asyncio.get_running_loop()
        loop.call_later(LINGER_SECONDS, lambda: loop.run_in_executor(None, delete_now, endpoint.link))

    async def unplug(self, endpoint: Endpoint, netns_fd: int) -> None:
        """Traffic stops at once; the kernel takes its time to delete the pair."""
        link = self._route.link(endpoint.link)
        if link is not None:
            await delete_link(endpoint.link)
        if self._firewall.enabled:
            await forget_addresses(address.ip for address in endpoint.addresses)


def _bridge_mac(stored: Stored) -> str:
    gateway = stored.pools.gateway(4) or stored.pools.gateway(6)
    if stored.network.driver == "overlay" and gateway is not None:
        return mac_of(gateway)  # the same on every host
    return "02:42:" + os.urandom(4).hex(":")


def interface_sysctls(endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    """Settings of the interface in the container: IPv6 off unless it has an address, then what was asked for."""
    name = endpoint.interface
    settings = []
    if os.path.isdir("/proc/sys/net/ipv6"):
        settings.append((f"net/ipv6/conf/{name}/disable_ipv6", "0" if endpoint.address6 else "1"))
    return (*settings, *endpoint_sysctls(endpoint.settings.driver_opts, name))


def interface_prefix(stored: Stored, driver_opts: dict[str, str] | None) -> tuple[str, bool]:
    """(name or prefix of the interface in the container, whether it is a whole name)."""
    name = interface_name(ENDPOINT_INTERFACE, (driver_opts or {}).get(ENDPOINT_INTERFACE, ""))
    return (name, True) if name else (stored.options.interface_prefix or "eth", False)


def delete_now(name: str) -> None:
    """Delete a link of this thread's namespace; the kernel waits up to 20 ms for packets in flight."""
    route = Route()
    try:
        link = route.link(name)
        if link is not None:
            route.request(rtnetlink.delete(link.index))
    except NetlinkError as refusal:
        if refusal.errno != errno.ENODEV:
            raise
    finally:
        route.close()


async def delete_link(name: str) -> None:
    """Delete a link without holding up the event loop; one that is gone is fine."""
    await asyncio.to_thread(delete_now, name)
