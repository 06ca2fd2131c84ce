"""Links, addresses, routes, forwarding entries: rtnetlink(7), include/uapi/linux/{rtnetlink,if_link,neighbour}.h.

`Route` is a socket in the namespace in which it was opened. Addresses are `ipaddress` objects; MAC addresses are text.
"""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Any

from msgspec import Struct

from .netlink import (
    NETLINK_ROUTE,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NetlinkError,
    NetlinkSocket,
    attribute,
    attributes,
    nested,
    text,
    u8,
    u16,
    u32,
)

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH = 28, 29

IFF_UP = 0x1

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_PROTINFO, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_NET_NS_FD = 12, 18, 20, 28
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
VETH_INFO_PEER = 1
IFLA_VLAN_ID = 1
IFLA_MACVLAN_MODE = 1
IFLA_IPVLAN_MODE, IFLA_IPVLAN_FLAGS = 1, 2
IFLA_VXLAN_ID, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LEARNING = 1, 4, 7
IFLA_VXLAN_PORT, IFLA_VXLAN_LOCAL6 = 15, 17
IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = 4, 33

IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
IFA_F_NODAD = 0x02

RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY = 1, 4, 5, 6
RT_TABLE_MAIN = 254
RTPROT_BOOT = 3
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RTN_UNICAST = 1

NDA_DST, NDA_LLADDR = 1, 2
NUD_PERMANENT, NUD_NOARP = 0x80, 0x40
NTF_SELF = 0x02

MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network

_IFINFO = struct.Struct("=BxHiII")
_IFADDR = struct.Struct("=BBBBI")
_RTMSG = struct.Struct("=BBBBBBBBI")
_NDMSG = struct.Struct("=BxHiHBB")

Request = tuple[int, int, bytes]


class Link(Struct, frozen=True):
    """One network interface as the kernel shows it; `kind` is empty for hardware, `master` 0 for none."""

    index: int
    name: str
    kind: str
    master: int
    mtu: int
    mac: str
    up: bool
    parent: int
    alias: str


def family(address: IPAddress | IPInterface | IPNetwork) -> int:
    """AF_INET or AF_INET6."""
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def mac_bytes(mac: str) -> bytes:
    """`02:42:ac:11:00:02` as six bytes; ValueError where it is no MAC address."""
    data = bytes.fromhex(mac.replace(":", "").replace("-", ""))
    if len(data) != 6:
        raise ValueError(f"invalid MAC address: {mac}")
    return data


def mac_text(data: bytes) -> str:
    """Six bytes as `02:42:ac:11:00:02`."""
    return data.hex(":")


def _link_header(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return _IFINFO.pack(socket.AF_UNSPEC, 0, index, flags, change)


def _info(kind: str, *data: bytes) -> bytes:
    inner = nested(IFLA_INFO_DATA, *data) if data else b""
    return nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, kind), inner)


def veth(
    name: str,
    peer: str,
    *,
    netns_fd: int | None = None,
    master: int = 0,
    mtu: int = 0,
    peer_mac: str = "",
    up: bool = True,
) -> Request:
    """A pair: `name` here, below the bridge `master`, and `peer`, which is down, in the namespace `netns_fd`."""
    state = IFF_UP if up else 0
    common = u32(IFLA_MTU, mtu) if mtu else b""
    # The peer cannot be born up: veth_open() fails with ENOTCONN until the pair is joined.
    far = _link_header() + text(IFLA_IFNAME, peer) + common
    if peer_mac:
        far += attribute(IFLA_ADDRESS, mac_bytes(peer_mac))
    if netns_fd is not None:
        far += u32(IFLA_NET_NS_FD, netns_fd)
    near = _link_header(0, state, state) + text(IFLA_IFNAME, name) + common
    if master:
        near += u32(IFLA_MASTER, master)
    return RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, near + _info("veth", attribute(VETH_INFO_PEER, far))


def new_link(name: str, kind: str, *data: bytes, options: bytes = b"", up: bool = False) -> Request:
    """Any other link; `data` are the kind's own attributes, `options` common ones such as IFLA_LINK."""
    state = IFF_UP if up else 0
    payload = _link_header(0, state, state) + text(IFLA_IFNAME, name) + options + _info(kind, *data)
    return RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload


def bridge(name: str, mac: str = "", mtu: int = 0) -> Request:
    """A bridge that is up; a set MAC stays the same whatever joins it."""
    options = attribute(IFLA_ADDRESS, mac_bytes(mac)) if mac else b""
    return new_link(name, "bridge", options=options + (u32(IFLA_MTU, mtu) if mtu else b""), up=True)


def child(kind: str, name: str, parent: int, *data: bytes, netns_fd: int | None = None, mac: str = "") -> Request:
    """A macvlan, ipvlan or vlan link over the link `parent`, born in the namespace `netns_fd`."""
    options = u32(IFLA_LINK, parent)
    if netns_fd is not None:
        options += u32(IFLA_NET_NS_FD, netns_fd)
    if mac:
        options += attribute(IFLA_ADDRESS, mac_bytes(mac))
    return new_link(name, kind, *data, options=options)


def macvlan(name: str, parent: int, mode: str, *, netns_fd: int | None = None, mac: str = "") -> Request:
    """A macvlan link; `mode` is a key of MACVLAN_MODES."""
    return child("macvlan", name, parent, u32(IFLA_MACVLAN_MODE, MACVLAN_MODES[mode]), netns_fd=netns_fd, mac=mac)


def ipvlan(name: str, parent: int, mode: str, flag: str = "bridge", *, netns_fd: int | None = None) -> Request:
    """An ipvlan link; `mode` and `flag` are keys of IPVLAN_MODES and IPVLAN_FLAGS."""
    data = (u16(IFLA_IPVLAN_MODE, IPVLAN_MODES[mode]), u16(IFLA_IPVLAN_FLAGS, IPVLAN_FLAGS[flag]))
    return child("ipvlan", name, parent, *data, netns_fd=netns_fd)


def vlan(name: str, parent: int, number: int) -> Request:
    """An 802.1q sub-interface."""
    return child("vlan", name, parent, u16(IFLA_VLAN_ID, number))


def vxlan(name: str, vni: int, port: int, local: IPAddress | None = None, *, learning: bool = False) -> Request:
    """A VXLAN end; without learning, who is where is told by forwarding entries alone."""
    data = [
        u32(IFLA_VXLAN_ID, vni),
        attribute(IFLA_VXLAN_PORT, struct.pack(">H", port)),
        u8(IFLA_VXLAN_LEARNING, int(learning)),
    ]
    if local is not None:
        data.append(attribute(IFLA_VXLAN_LOCAL if local.version == 4 else IFLA_VXLAN_LOCAL6, local.packed))
    return new_link(name, "vxlan", *data)


def set_link(
    index: int,
    *,
    up: bool | None = None,
    name: str = "",
    mac: str = "",
    mtu: int = 0,
    master: int | None = None,
    netns_fd: int | None = None,
    alias: str | None = None,
) -> Request:
    """Change what is given; `master` 0 takes the link out of its bridge."""
    flags = IFF_UP if up else 0
    payload = _link_header(index, flags, IFF_UP if up is not None else 0)
    payload += text(IFLA_IFNAME, name) if name else b""
    payload += attribute(IFLA_ADDRESS, mac_bytes(mac)) if mac else b""
    payload += u32(IFLA_MTU, mtu) if mtu else b""
    payload += u32(IFLA_MASTER, master) if master is not None else b""
    payload += u32(IFLA_NET_NS_FD, netns_fd) if netns_fd is not None else b""
    payload += text(IFLA_IFALIAS, alias) if alias is not None else b""
    return RTM_NEWLINK, 0, payload


def off_bridge(name: str) -> Request:
    """Take the link of that name out of its bridge."""
    return RTM_SETLINK, 0, _link_header() + text(IFLA_IFNAME, name) + u32(IFLA_MASTER, 0)


def bridge_port(index: int, *, hairpin: bool = False, isolated: bool = False) -> Request:
    """Flags of a bridge's port: hairpin sends frames back where they came from, isolated ports see no each other."""
    payload = _IFINFO.pack(socket.AF_BRIDGE, 0, index, 0, 0)
    flags = u8(IFLA_BRPORT_MODE, int(hairpin)) + u8(IFLA_BRPORT_ISOLATED, int(isolated))
    return RTM_SETLINK, 0, payload + nested(IFLA_PROTINFO, flags)


def address(index: int, interface: IPInterface, *, replace: bool = False) -> Request:
    """Give a link an address; IPv6 without duplicate detection, which would delay its use."""
    header = _IFADDR.pack(family(interface), interface.network.prefixlen, 0, RT_SCOPE_UNIVERSE, index)
    packed = interface.ip.packed
    payload = header + attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
    if interface.version == 6:
        payload += u32(IFA_FLAGS, IFA_F_NODAD)
    elif interface.network.prefixlen < 31:
        payload += attribute(IFA_BROADCAST, interface.network.broadcast_address.packed)
    return RTM_NEWADDR, NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL), payload


def no_address(index: int, interface: IPInterface) -> Request:
    """Take an address from a link."""
    header = _IFADDR.pack(family(interface), interface.network.prefixlen, 0, RT_SCOPE_UNIVERSE, index)
    return RTM_DELADDR, 0, header + attribute(IFA_LOCAL, interface.ip.packed)


def _route(index: int, via: IPAddress | None, to: IPNetwork | None, metric: int, version: int) -> bytes:
    scope = RT_SCOPE_UNIVERSE if via is not None or version == 6 else RT_SCOPE_LINK
    length = to.prefixlen if to is not None else 0
    kind = socket.AF_INET if version == 4 else socket.AF_INET6
    payload = _RTMSG.pack(kind, length, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0)
    payload += u32(RTA_OIF, index)
    payload += attribute(RTA_DST, to.network_address.packed) if to is not None else b""
    payload += attribute(RTA_GATEWAY, via.packed) if via is not None else b""
    return payload + (u32(RTA_PRIORITY, metric) if metric else b"")


def route(
    index: int, via: IPAddress | None = None, to: IPNetwork | None = None, *, metric: int = 0, version: int = 0
) -> Request:
    """A route through a link; no `to` means the default route, no `via` means on the link."""
    version = version or (via or to or IPv4Address(0)).version
    return RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, _route(index, via, to, metric, version)


def no_route(index: int, via: IPAddress | None = None, to: IPNetwork | None = None, *, version: int = 0) -> Request:
    """Remove a route that `route` made."""
    version = version or (via or to or IPv4Address(0)).version
    return RTM_DELROUTE, 0, _route(index, via, to, 0, version)


def forwarding(index: int, mac: str, peer: IPAddress, *, remove: bool = False, append: bool = False) -> Request:
    """A VXLAN forwarding entry: frames for `mac` go to the host `peer`; the all-zero MAC stands for every other."""
    payload = _NDMSG.pack(socket.AF_BRIDGE, 0, index, NUD_PERMANENT | NUD_NOARP, NTF_SELF, 0)
    payload += attribute(NDA_LLADDR, mac_bytes(mac)) + attribute(NDA_DST, peer.packed)
    flags = NLM_F_CREATE | (NLM_F_APPEND if append else NLM_F_REPLACE)
    return (RTM_DELNEIGH, 0, payload) if remove else (RTM_NEWNEIGH, flags, payload)


def delete(index: int) -> Request:
    """Delete a link; of a veth pair both ends go."""
    return RTM_DELLINK, 0, _link_header(index)


class Route(NetlinkSocket):
    """A NETLINK_ROUTE socket."""

    def __init__(self, groups: tuple[int, ...] = ()) -> None:
        super().__init__(NETLINK_ROUTE, groups)

    def links(self) -> list[Link]:
        """All links of the namespace."""
        return [parse_link(payload) for payload in self.query(RTM_GETLINK, NLM_F_DUMP, _link_header())]

    def link(self, name: str) -> Link | None:
        """The link of that name, or None."""
        try:
            answers = self.query(RTM_GETLINK, 0, _link_header() + text(IFLA_IFNAME, name))
        except NetlinkError as refusal:
            if refusal.errno == errno.ENODEV:
                return None
            raise
        return parse_link(answers[0])

    def addresses(self) -> list[tuple[int, IPInterface]]:
        """(link index, address) of the whole namespace."""
        found: list[tuple[int, IPInterface]] = []
        for payload in self.query(RTM_GETADDR, NLM_F_DUMP, _IFADDR.pack(0, 0, 0, 0, 0)):
            kind, length, _, _, index = _IFADDR.unpack_from(payload)
            values = attributes(payload, _IFADDR.size)
            packed = values.get(IFA_LOCAL) or values[IFA_ADDRESS]
            maker: Any = IPv4Interface if kind == socket.AF_INET else IPv6Interface
            found.append((index, maker((packed, length))))
        return found

    def routes(self) -> list[tuple[IPNetwork, IPAddress | None, int]]:
        """(destination, gateway, link index) of the main table."""
        found: list[tuple[IPNetwork, IPAddress | None, int]] = []
        for payload in self.query(RTM_GETROUTE, NLM_F_DUMP, _RTMSG.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)):
            kind, length, _, _, table, _, _, type_, _ = _RTMSG.unpack_from(payload)
            if table != RT_TABLE_MAIN or type_ != RTN_UNICAST or kind not in (socket.AF_INET, socket.AF_INET6):
                continue
            values = attributes(payload, _RTMSG.size)
            net, ip = (IPv4Network, IPv4Address) if kind == socket.AF_INET else (IPv6Network, IPv6Address)
            target: Any = values.get(RTA_DST) or bytes(4 if kind == socket.AF_INET else 16)
            via = values.get(RTA_GATEWAY)
            index = struct.unpack("=I", values[RTA_OIF])[0] if RTA_OIF in values else 0
            found.append((net((target, length)), ip(via) if via else None, index))
        return found


def parse_link(payload: bytes) -> Link:
    """A Link from an RTM_NEWLINK payload."""
    _, _, index, flags, _ = _IFINFO.unpack_from(payload)
    values = attributes(payload, _IFINFO.size)
    info = attributes(values.get(IFLA_LINKINFO, b""))

    def number(kind: int) -> int:
        return int(struct.unpack("=I", values[kind])[0]) if kind in values else 0

    return Link(
        index=index,
        name=values[IFLA_IFNAME].rstrip(b"\0").decode(),
        kind=info.get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode(),
        master=number(IFLA_MASTER),
        mtu=number(IFLA_MTU),
        mac=mac_text(values.get(IFLA_ADDRESS, b"")),
        up=bool(flags & IFF_UP),
        parent=number(IFLA_LINK),
        alias=values.get(IFLA_IFALIAS, b"").rstrip(b"\0").decode(errors="replace"),
    )
