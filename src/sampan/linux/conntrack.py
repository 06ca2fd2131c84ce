"""Connection tracking: list and delete entries (include/uapi/linux/netfilter/nfnetlink_conntrack.h)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from msgspec import Struct

from .netlink import NLM_F_DUMP, NetlinkError, attribute, attributes
from .nfnetlink import NFNL_SUBSYS_CTNETLINK, NFPROTO_IPV4, NFPROTO_IPV6, NetfilterSocket, genmsg

_SUBSYS = NFNL_SUBSYS_CTNETLINK << 8
IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = 1, 2
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY = 1, 2
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC, CTA_IP_V6_DST = 1, 2, 3, 4
CTA_PROTO_NUM, CTA_PROTO_DST_PORT = 1, 3

NESTED = 0x8000
FAMILIES = (NFPROTO_IPV4, NFPROTO_IPV6)


class Entry(Struct, frozen=True):
    """One connection: from where to where, and who answers (another where the destination is translated)."""

    family: int
    protocol: int
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    port: int
    answered_by: IPv4Address | IPv6Address
    tuple: bytes


class Conntrack(NetfilterSocket):
    """The connections of the namespace in which it is opened."""

    def entries(self, families: Iterable[int] = FAMILIES) -> list[Entry]:
        """All connections that have ports. The kernel walks its whole table for each family."""
        found = []
        for family in families:
            for answer in self.query(_SUBSYS | IPCTNL_MSG_CT_GET, NLM_F_DUMP, genmsg(family)):
                entry = _entry(family, attributes(answer, 4))
                if entry is not None:
                    found.append(entry)
        return found

    def delete(self, wanted: Callable[[Entry], bool], families: Iterable[int] = FAMILIES) -> int:
        """Delete the entries for which `wanted` is true; how many there were."""
        doomed = [entry for entry in self.entries(families) if wanted(entry)]
        for entry in doomed:
            payload = genmsg(entry.family) + attribute(CTA_TUPLE_ORIG | NESTED, entry.tuple)
            try:
                self.request((_SUBSYS | IPCTNL_MSG_CT_DELETE, 0, payload))
            except NetlinkError as refusal:
                if refusal.errno != errno.ENOENT:
                    raise
        return len(doomed)


def _entry(family: int, values: dict[int, bytes]) -> Entry | None:
    original = attributes(values.get(CTA_TUPLE_ORIG, b""))
    reply = attributes(values.get(CTA_TUPLE_REPLY, b""))
    to, answer = attributes(original.get(CTA_TUPLE_IP, b"")), attributes(reply.get(CTA_TUPLE_IP, b""))
    protocol = attributes(original.get(CTA_TUPLE_PROTO, b""))
    source = to.get(CTA_IP_V4_SRC) or to.get(CTA_IP_V6_SRC)
    destination = to.get(CTA_IP_V4_DST) or to.get(CTA_IP_V6_DST)
    answering = answer.get(CTA_IP_V4_SRC) or answer.get(CTA_IP_V6_SRC)
    if source is None or destination is None or answering is None or CTA_PROTO_DST_PORT not in protocol:
        return None
    return Entry(
        family=family,
        protocol=protocol[CTA_PROTO_NUM][0],
        source=ip_address(source),
        destination=ip_address(destination),
        port=int.from_bytes(protocol[CTA_PROTO_DST_PORT], "big"),
        answered_by=ip_address(answering),
        tuple=values[CTA_TUPLE_ORIG],
    )
