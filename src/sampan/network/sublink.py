"""The drivers macvlan and ipvlan: a container's link is a sub-interface of one of the host's.

Options: `parent` (`eth0`, or `eth0.100`, which is made as an 802.1q sub-interface where it is missing), `macvlan_mode`,
`ipvlan_mode`, `ipvlan_flag`. Without a parent the network has none to go out by, and is internal.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable

from ..errors import Forbidden, InvalidArgument, NotImplementedHere
from ..linux import rtnetlink
from ..linux.netlink import NetlinkError
from ..linux.rtnetlink import IPVLAN_FLAGS, IPVLAN_MODES, MACVLAN_MODES, Link, Request, Route
from ..model.container import PortMap
from .bridge import delete_link, interface_sysctls
from .endpoint import Endpoint
from .netns import Interface, Namespaces
from .store import Stored

PARENT = "parent"
UNKNOWN_KIND = (errno.EOPNOTSUPP, errno.ENOTSUP)
MODE_OPTIONS = {
    "macvlan": (("macvlan_mode", MACVLAN_MODES, "bridge"),),
    "ipvlan": (("ipvlan_mode", IPVLAN_MODES, "l2"), ("ipvlan_flag", IPVLAN_FLAGS, "bridge")),
}


class SublinkDriver:
    """See `endpoint.Driver`; `kind` is macvlan or ipvlan."""

    def __init__(
        self, kind: str, route: Route, namespaces: Namespaces, networks: Callable[[], Iterable[Stored]]
    ) -> None:
        self._kind = kind
        self._route = route
        self._namespaces = namespaces
        self._networks = networks

    async def create(self, stored: Stored) -> None:
        """Check modes and parent; make the parent where it is one that can be made."""
        for name, known, default in MODE_OPTIONS[self._kind]:
            given = stored.network.options.get(name, "")
            if given and given not in known:
                raise InvalidArgument(f"requested {self._kind} mode '{given}' is not valid, '{default}' mode is the "
                                      f"{self._kind} driver default")  # fmt: skip
        self._refuse_shared(stored)
        given = stored.network.options.get(PARENT, "")
        if given and self._route.link(given) is None:
            self._tagged(given)
        self._probe()
        self._make_parent(stored)

    async def restore(self, stored: Stored) -> None:
        """Make the parent again."""
        self._make_parent(stored)

    async def remove(self, stored: Stored) -> None:
        """Delete the parent if we made it."""
        if stored.made_link:
            await delete_link(self._parent(stored))

    def _parent(self, stored: Stored) -> str:
        return stored.network.options.get(PARENT, "") or f"dm-{stored.network.id[:12]}"

    def _refuse_shared(self, stored: Stored) -> None:
        parent = stored.network.options.get(PARENT, "")
        for other in self._networks():
            kinds = (other.network.driver, stored.network.driver)
            if parent and other.network.options.get(PARENT) == parent and set(kinds) <= set(MODE_OPTIONS):
                raise Forbidden(f"network {other.link} is already using parent interface {parent}")

    def _probe(self) -> None:
        """Whether the kernel has the kind at all: it says so before it looks for the parent, which there is not."""
        try:
            self._route.request(rtnetlink.new_link("sampan-probe", self._kind))
        except NetlinkError as refusal:
            if refusal.errno in UNKNOWN_KIND:
                raise NotImplementedHere(f"this kernel has no {self._kind} interfaces") from refusal

    def _make_parent(self, stored: Stored) -> None:
        name = self._parent(stored)
        if self._route.link(name) is not None:
            return
        given = stored.network.options.get(PARENT, "")
        if given:
            self._make_vlan(given)
        else:
            self._make_dummy(name)
        link = self._link(stored)
        self._route.request(rtnetlink.set_link(link.index, up=True))
        stored.made_link = True

    def _tagged(self, name: str) -> tuple[Link, int]:
        """The link and the VLAN that a name such as `eth0.100` stands for."""
        trunk, dot, number = name.partition(".")
        if not dot:
            raise InvalidArgument(f"invalid subinterface vlan name {name}, example formatting is eth0.10")
        if "." in number:
            raise InvalidArgument("required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead "
                                  f"received {name}")  # fmt: skip
        if not number.isdecimal():
            raise InvalidArgument(f"unable to parse a valid vlan id from: {number} (ex. eth0.10 for vlan 10)")
        below = self._route.link(trunk)
        if below is None:
            raise InvalidArgument(f"-o parent interface was not found on the host: {trunk}")
        if not 0 < int(number) < 4095:
            raise InvalidArgument(f"vlan id must be between 1-4094, received: {int(number)}")
        return below, int(number)

    def _make_vlan(self, name: str) -> None:
        below, number = self._tagged(name)
        try:
            self._route.request(rtnetlink.vlan(name, below.index, number))
        except NetlinkError as refusal:
            if refusal.errno in UNKNOWN_KIND:
                raise NotImplementedHere("this kernel has no 802.1q interfaces") from refusal
            raise

    def _make_dummy(self, name: str) -> None:
        try:
            self._route.request(rtnetlink.new_link(name, "dummy"))
        except NetlinkError as refusal:
            if refusal.errno not in UNKNOWN_KIND:
                raise
            self._route.request(rtnetlink.bridge(name))  # an empty bridge is as good a parent

    def _link(self, stored: Stored) -> Link:
        name = self._parent(stored)
        link = self._route.link(name)
        if link is None:
            raise InvalidArgument(f"-o parent interface was not found on the host: {name}")
        return link

    async def plug(self, endpoint: Endpoint, netns_fd: int) -> Interface:
        """A sub-interface that is born in the container's namespace."""
        parent = self._link(endpoint.network)
        self._route.request(self._request(endpoint, parent, netns_fd))
        if self._kind == "ipvlan":
            endpoint.mac = ""  # all share the parent's
        return Interface(endpoint.interface, endpoint.addresses, interface_sysctls(endpoint))

    def _request(self, endpoint: Endpoint, parent: Link, netns_fd: int) -> Request:
        modes = [endpoint.network.network.options.get(name) or default for name, _, default in MODE_OPTIONS[self._kind]]
        if self._kind == "macvlan":
            return rtnetlink.macvlan(endpoint.interface, parent.index, modes[0], netns_fd=netns_fd, mac=endpoint.mac)
        return rtnetlink.ipvlan(endpoint.interface, parent.index, modes[0], modes[1], netns_fd=netns_fd)

    def publishes(self, endpoint: Endpoint) -> None:
        """Ports are not published here: the container has an address that others reach."""

    async def bind_anew(self, endpoint: Endpoint, bindings: PortMap) -> None:
        """Ports are not this driver's."""

    def abandon(self, endpoint: Endpoint) -> None:
        """The kernel drops the link with its namespace."""

    async def unplug(self, endpoint: Endpoint, netns_fd: int) -> None:
        """Delete the link inside the container."""
        with self._namespaces.inside(netns_fd):
            route = Route()
        try:
            await asyncio.to_thread(_delete, route, endpoint.interface)
        finally:
            route.close()


def _delete(route: Route, name: str) -> None:
    link = route.link(name)
    if link is not None:
        route.request(rtnetlink.delete(link.index))
