"""The firewall: one nftables table, `inet sampan`, that is a picture of `Firewall`'s sets.

The rules hardly ever change; bridges and ports are elements of sets and maps, so that a change is a few elements in one
transaction whatever the number of networks. docs/networking.md draws the chains. The chain `operator` is made empty
and never touched again: it belongs to whoever runs the machine.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from ..linux import nft
from ..linux.netlink import NetlinkError
from ..linux.nfnetlink import Request
from ..linux.nft import (
    CMP_NEQ,
    CT_STATE,
    CT_STATE_ESTABLISHED,
    CT_STATE_RELATED,
    CT_STATUS,
    FIB_DADDR,
    FIB_IIF,
    IFNAME,
    INET_PROTO,
    INET_SERVICE,
    IPS_DST_NAT,
    IPV4_ADDR,
    IPV6_ADDR,
    META_IIFNAME,
    META_L4PROTO,
    META_NFPROTO,
    META_OIFNAME,
    META_PKTTYPE,
    NETWORK_HEADER,
    NF_ACCEPT,
    NF_DROP,
    NF_INET_FORWARD,
    NF_INET_LOCAL_IN,
    NF_INET_LOCAL_OUT,
    NF_INET_POST_ROUTING,
    NF_INET_PRE_ROUTING,
    NF_IP_PRI_FILTER,
    NF_IP_PRI_NAT_DST,
    NF_IP_PRI_NAT_SRC,
    NF_IP_PRI_RAW,
    NFT_GOTO,
    NFT_JUMP,
    NFT_RETURN,
    RTN_LOCAL,
    TRANSPORT_HEADER,
    Chain,
    Nftables,
    Set,
    Table,
    compare,
    ct,
    fib,
    immediate,
    interface_name,
    lookup,
    map_lookup,
    mask,
    masquerade,
    meta,
    nat,
    payload,
    verdict,
    verdict_lookup,
    words,
)
from . import foreign

IPAddress = IPv4Address | IPv6Address

OPERATOR = "operator"
GUARD = "guard"
PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": socket.IPPROTO_SCTP}
# Fields of keys, padded to full registers; addresses fill theirs.
_PROTOCOL = {name: words(bytes((number,))) for name, number in PROTOCOLS.items()}
_PORT = struct.Struct(">H2x").pack

_PORT4 = (INET_PROTO, IPV4_ADDR, INET_SERVICE)
_PORT6 = (INET_PROTO, IPV6_ADDR, INET_SERVICE)

SETS = (
    Set("bridges", (IFNAME,)),
    Set("internal", (IFNAME,)),
    Set("same", (IFNAME, IFNAME)),
    Set("within", (IFNAME, IFNAME)),
    Set("trusted", (IFNAME, IFNAME)),
    Set("entrance4", (IFNAME,), verdicts=True),
    Set("entrance6", (IFNAME,), verdicts=True),
    Set("masquerade4", (IFNAME,)),
    Set("masquerade6", (IFNAME,)),
    Set("snat4", (IFNAME,), (IPV4_ADDR,)),
    Set("snat6", (IFNAME,), (IPV6_ADDR,)),
    Set("at4", _PORT4, (IPV4_ADDR, INET_SERVICE)),
    Set("at6", _PORT6, (IPV6_ADDR, INET_SERVICE)),
    Set("any4", (INET_PROTO, INET_SERVICE), (IPV4_ADDR, INET_SERVICE)),
    Set("any6", (INET_PROTO, INET_SERVICE), (IPV6_ADDR, INET_SERVICE)),
    Set("open4", _PORT4),
    Set("open6", _PORT6),
    Set("relayed", (INET_PROTO, INET_SERVICE)),
    Set("self4", (IPV4_ADDR, IPV4_ADDR)),
    Set("self6", (IPV6_ADDR, IPV6_ADDR)),
)

CHAINS = (
    Chain(OPERATOR),
    Chain("nat-entrance"),
    Chain("routed-entrance"),
    Chain("unprotected-entrance"),
    Chain("published"),
    Chain("translated"),
    Chain("apart"),
    Chain("loopback", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_RAW),
    Chain("gate", "filter", NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST - 10),
    Chain("prerouting", "nat", NF_INET_PRE_ROUTING, NF_IP_PRI_NAT_DST),
    Chain("output", "nat", NF_INET_LOCAL_OUT, NF_IP_PRI_NAT_DST),
    Chain("input", "filter", NF_INET_LOCAL_IN, NF_IP_PRI_FILTER),
    Chain("forward", "filter", NF_INET_FORWARD, NF_IP_PRI_FILTER),
    Chain("postrouting", "nat", NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC),
)

_IPV4 = meta(META_NFPROTO), compare(b"\x02")
_IPV6 = meta(META_NFPROTO), compare(b"\x0a")
_IN = meta(META_IIFNAME)
_OUT = meta(META_OIFNAME)
_IN_OUT = (meta(META_IIFNAME, 0), meta(META_OIFNAME, 4))
_TO_LOCAL = (fib(FIB_DADDR), compare(struct.pack("=I", RTN_LOCAL)))
_NOT_TO_LOCAL = (fib(FIB_DADDR), compare(struct.pack("=I", RTN_LOCAL), CMP_NEQ))
_FOLLOWS = (
    ct(CT_STATE),
    mask(struct.pack("=I", CT_STATE_ESTABLISHED | CT_STATE_RELATED)),
    compare(bytes(4), CMP_NEQ),
)
_DNAT = (ct(CT_STATUS), mask(struct.pack("=I", IPS_DST_NAT)), compare(bytes(4), CMP_NEQ))
_ACCEPT, _DROP, _RETURN = immediate(NF_ACCEPT), immediate(NF_DROP), immediate(NFT_RETURN)
_SOURCE_127 = (*_IPV4, payload(NETWORK_HEADER, 12, 1), compare(b"\x7f"))
_TO_127 = (*_IPV4, payload(NETWORK_HEADER, 16, 1), compare(b"\x7f"))
_TO_ONE = (*_IPV6, payload(NETWORK_HEADER, 24, 16), compare(bytes(15) + b"\x01"))
_PORT4_KEY = (meta(META_L4PROTO, 0), payload(NETWORK_HEADER, 16, 4, 1), payload(TRANSPORT_HEADER, 2, 2, 2))
_PORT6_KEY = (meta(META_L4PROTO, 0), payload(NETWORK_HEADER, 24, 16, 1), payload(TRANSPORT_HEADER, 2, 2, 5))
_ANY_KEY = (meta(META_L4PROTO, 0), payload(TRANSPORT_HEADER, 2, 2, 1))
_NAT4 = nat(socket.AF_INET, source=False, address=0, port=1)
_NAT6 = nat(socket.AF_INET6, source=False, address=0, port=4)
_ICMP = (meta(META_L4PROTO), compare(bytes((socket.IPPROTO_ICMP,))))
_ICMP6 = (meta(META_L4PROTO), compare(bytes((socket.IPPROTO_ICMPV6,))))
_SELF4 = (payload(NETWORK_HEADER, 12, 4, 0), payload(NETWORK_HEADER, 16, 4, 1))
_SELF6 = (payload(NETWORK_HEADER, 8, 16, 0), payload(NETWORK_HEADER, 24, 16, 4))
_GOTO_OPERATOR = immediate(NFT_GOTO, OPERATOR)

Rules = tuple[tuple[str, tuple[bytes, ...]], ...]

RULES: Rules = (
    # route_localnet on our bridges must not let containers reach what listens on the host's loopback (S28). The address
    # comes first: every packet passes here, and comparing bytes costs a tenth of looking up a name.
    ("loopback", (*_TO_127, _IN, lookup("bridges"), _DROP)),
    ("loopback", (*_SOURCE_127, _IN, lookup("bridges"), _DROP)),
    ("gate", (*_FOLLOWS, _RETURN)),
    ("gate", (*_NOT_TO_LOCAL, _RETURN)),
    # `goto`: what two of these name passes the operator's chain once.
    ("gate", (*_ANY_KEY, lookup("relayed"), _GOTO_OPERATOR)),
    ("gate", (*_IPV4, *_ANY_KEY, map_lookup("any4", 0, 8), _GOTO_OPERATOR)),
    ("gate", (*_IPV4, *_PORT4_KEY, map_lookup("at4", 0, 8), _GOTO_OPERATOR)),
    ("gate", (*_IPV6, *_ANY_KEY, map_lookup("any6", 0, 8), _GOTO_OPERATOR)),
    ("gate", (*_IPV6, *_PORT6_KEY, map_lookup("at6", 0, 8), _GOTO_OPERATOR)),
    ("prerouting", (*_TO_127, _RETURN)),
    ("prerouting", (*_TO_LOCAL, immediate(NFT_GOTO, "published"))),
    # Linux routes nothing from ::1 to another link, translated or not: the proxy's socket serves it.
    ("output", (*_TO_ONE, _RETURN)),
    ("output", (*_TO_LOCAL, immediate(NFT_GOTO, "published"))),
    ("published", (*_IPV4, *_PORT4_KEY, map_lookup("at4"), _NAT4)),
    ("published", (*_IPV4, *_ANY_KEY, map_lookup("any4"), _NAT4)),
    ("published", (*_IPV6, *_PORT6_KEY, map_lookup("at6"), _NAT6)),
    ("published", (*_IPV6, *_ANY_KEY, map_lookup("any6"), _NAT6)),
    ("forward", (*_FOLLOWS, _ACCEPT)),
    ("forward", (*_DNAT, _OUT, lookup("bridges"), _ACCEPT)),
    ("forward", (*_IN_OUT, lookup("within"), _ACCEPT)),
    ("forward", (_OUT, lookup("bridges"), immediate(NFT_JUMP, OPERATOR))),
    ("forward", (*_IN_OUT, lookup("trusted"), _ACCEPT)),
    ("forward", (*_IPV4, _OUT, verdict_lookup("entrance4"))),
    ("forward", (*_IPV6, _OUT, verdict_lookup("entrance6"))),
    ("routed-entrance", (*_IPV4, *_ICMP, _ACCEPT)),
    ("routed-entrance", (*_IPV6, *_ICMP6, _ACCEPT)),
    ("routed-entrance", (immediate(NFT_GOTO, "nat-entrance"),)),
    ("nat-entrance", (*_IPV4, *_PORT4_KEY, lookup("open4"), _ACCEPT)),
    ("nat-entrance", (*_IPV6, *_PORT6_KEY, lookup("open6"), _ACCEPT)),
    ("nat-entrance", (_DROP,)),
    ("unprotected-entrance", (_IN, lookup("bridges"), _DROP)),
    ("unprotected-entrance", (_ACCEPT,)),
    ("postrouting", (*_DNAT, _OUT, lookup("bridges"), immediate(NFT_GOTO, "translated"))),
    ("postrouting", (*_IN_OUT, lookup("same"), _ACCEPT)),
    ("postrouting", (*_IPV4, _IN, map_lookup("snat4"), nat(socket.AF_INET, source=True, address=0))),
    ("postrouting", (*_IPV6, _IN, map_lookup("snat6"), nat(socket.AF_INET6, source=True, address=0))),
    ("postrouting", (*_IPV4, _IN, lookup("masquerade4"), masquerade())),
    ("postrouting", (*_IPV6, _IN, lookup("masquerade6"), masquerade())),
    # From the host's loopback: the answer must find the way back.
    ("translated", (*_SOURCE_127, masquerade())),
    # Hairpin: the answer must come back through the host rather than straight over the bridge.
    ("translated", (*_IN_OUT, lookup("same"), masquerade())),
    # The same where br_netfilter translates on the bridge, which tells no incoming interface here.
    ("translated", (*_IPV4, *_SELF4, lookup("self4"), masquerade())),
    ("translated", (*_IPV6, *_SELF6, lookup("self6"), masquerade())),
    # From one network to a port that another publishes: the source stays as it is.
    ("translated", (_ACCEPT,)),
)

INTERNAL_RULES: Rules = (
    # An internal network's containers reach the bridge's own address, nothing else of the host (S27).
    ("input", (
        _IN, lookup("internal"), meta(META_PKTTYPE), compare(b"\0"),
        fib(FIB_DADDR | FIB_IIF), compare(struct.pack("=I", RTN_LOCAL), CMP_NEQ), _DROP,
    )),
    # Before what follows a connection is accepted: its addresses may be another's.
    ("forward", (_IN, lookup("internal"), immediate(NFT_GOTO, "apart"))),
    ("forward", (_OUT, lookup("internal"), immediate(NFT_GOTO, "apart"))),
    ("apart", (*_IN_OUT, lookup("within"), _ACCEPT)),
    ("apart", (_DROP,)),
)  # fmt: skip
"""Only where there are internal networks: two look-ups for every packet that is forwarded are a hundredth of all that a
short connection costs."""

GUARD_RULES: Rules = (
    ("forward", (immediate(NFT_GOTO, GUARD),)),
    (GUARD, (_IN, lookup("bridges"), _RETURN)),
    (GUARD, (_OUT, lookup("bridges"), _RETURN)),
    (GUARD, (_DROP,)),
)
"""Where we turned forwarding on, the host must not become a router between other interfaces (as Docker's DROP)."""

ENTRANCES = {"nat": "nat-entrance", "routed": "routed-entrance", "nat-unprotected": "unprotected-entrance"}

_DIFFERS = (errno.EEXIST, errno.EINVAL, errno.EBUSY, errno.EOPNOTSUPP)
"""What the kernel says where a chain or set of another kind has the name."""

Element = tuple[str, bytes, bytes | None]


class BridgeRules(Struct, frozen=True):
    """How one bridge is treated. Gateway modes are `nat`, `routed`, `nat-unprotected` or `isolated`."""

    name: str
    icc: bool = True
    internal: bool = False
    mode4: str = "nat"
    mode6: str = "nat"
    masquerade4: bool = True
    masquerade6: bool = False
    source4: IPv4Address | None = None
    """The host address that outgoing connections bear instead of the interface's (`host_ipv4`)."""
    source6: IPv6Address | None = None
    trusted_interfaces: tuple[str, ...] = ()

    def elements(self) -> list[Element]:
        """The elements of all sets that stand for the bridge."""
        key = interface_name(self.name)
        found: list[Element] = [("bridges", key, None), ("same", key + key, None)]
        if self.icc:
            found.append(("within", key + key, None))
        if self.internal:
            return [*found, ("internal", key, None)]
        found += [("trusted", interface_name(other) + key, None) for other in self.trusted_interfaces]
        found.append(("entrance4", key, verdict(NFT_GOTO, ENTRANCES.get(self.mode4, "nat-entrance"))))
        found.append(("entrance6", key, verdict(NFT_GOTO, ENTRANCES.get(self.mode6, "nat-entrance"))))
        return found + self._sources(key)

    def _sources(self, key: bytes) -> list[Element]:
        found: list[Element] = []
        if self.masquerade4 and self.mode4.startswith("nat"):
            found.append(("snat4", key, nft.value(self.source4.packed)) if self.source4 else ("masquerade4", key, None))
        if self.masquerade6 and self.mode6.startswith("nat"):
            found.append(("snat6", key, nft.value(self.source6.packed)) if self.source6 else ("masquerade6", key, None))
        return found


def translated(protocol: str, host: IPAddress, host_port: int, container: IPAddress, port: int) -> Element:
    """One published port: host address (unspecified for any) and port to container address and port."""
    key, data = _PROTOCOL[protocol], nft.value(container.packed + _PORT(port))
    if host.is_unspecified:
        return f"any{host.version}", key + _PORT(host_port), data
    return f"at{host.version}", key + host.packed + _PORT(host_port), data


def open_port(protocol: str, container: IPAddress, port: int) -> Element:
    """A container's port that may be reached at the container's own address (routed networks)."""
    return f"open{container.version}", _PROTOCOL[protocol] + container.packed + _PORT(port), None


def relayed(protocol: str, host_port: int) -> Element:
    """A host port that the proxy serves: the operator's chain sees it too."""
    return "relayed", _PROTOCOL[protocol] + _PORT(host_port), None


def hairpin(container: IPAddress) -> Element:
    """A container that may call itself by its published ports."""
    return f"self{container.version}", container.packed * 2, None


def _by_set(elements: Iterable[Element]) -> Iterable[tuple[str, list[tuple[bytes, bytes | None]]]]:
    """The (key, data) of elements by the name of their set."""
    found: dict[str, list[tuple[bytes, bytes | None]]] = {}
    for name, key, data in elements:
        found.setdefault(name, []).append((key, data))
    return found.items()


class Firewall:
    """What the table shall hold, and the table. With neither family on, nothing is ever touched."""

    def __init__(self, *, ipv4: bool = True, ipv6: bool = True, table: str = "sampan") -> None:
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.enabled = ipv4 or ipv6
        self.table = Table(table)
        self.guard = False
        self._wanted: dict[str, dict[bytes, bytes | None]] = {declared.name: {} for declared in SETS}
        self._holders: dict[tuple[str, bytes], int] = {}
        self._socket = Nftables() if self.enabled else None

    def close(self) -> None:
        """Leave the table as it is: connections go on without us."""
        if self._socket is not None:
            self._socket.close()

    def guarded(self) -> bool:
        """Whether the loaded table bears the guard, from a run of ours that turned forwarding on."""
        return self._socket is not None and GUARD in self._socket.chains(self.table)

    def change(self, add: Iterable[Element] = (), remove: Iterable[Element] = ()) -> None:
        """Add and remove elements, all or none. One that was added twice goes when it was removed twice."""
        add, remove = list(add), [element for element in remove if element[:2] in self._holders]
        had_internal = self._has_internal
        leaving = _by_set(element for element in remove if self._drop(*element[:2]))
        coming = _by_set(element for element in add if self._hold(*element))
        requests = [one for name, held in leaving for one in self.table.delete_elements(name, [key for key, _ in held])]
        requests += [one for name, held in coming for one in self.table.add_elements(name, held)]
        if self._socket is None or not requests:
            return
        try:
            if self._has_internal != had_internal:
                self.load()  # the rules change too
            else:
                self._socket.batch(requests)
        except NetlinkError as refusal:
            if refusal.errno not in (errno.ENOENT, *_DIFFERS):
                for name, key, _ in add:
                    self._drop(name, key)
                for element in remove:
                    self._hold(*element)
                raise
            self.load()  # another program changed the table, or it is of another version

    def _hold(self, name: str, key: bytes, data: bytes | None) -> bool:
        """Count the element; whether it is new."""
        holders = self._holders.get((name, key), 0)
        self._holders[name, key] = holders + 1
        if holders:
            return False
        self._wanted[name][key] = data
        return True

    def _drop(self, name: str, key: bytes) -> bool:
        """Whether nobody holds the element any more."""
        self._holders[name, key] -= 1
        if self._holders[name, key]:
            return False
        del self._holders[name, key]
        del self._wanted[name][key]
        return True

    def admit(self) -> None:
        """See `foreign.admit`."""
        if self._socket is not None:
            bridges = {key.rstrip(b"\0").decode() for key in self._wanted["bridges"]}
            foreign.admit(self._socket, bridges)

    @property
    def _has_internal(self) -> bool:
        return bool(self._wanted["internal"])

    def _rules(self) -> list[tuple[str, tuple[bytes, ...]]]:
        rules = [*(INTERNAL_RULES if self._has_internal else ()), *RULES, *(GUARD_RULES if self.guard else ())]
        if self.ipv4 and self.ipv6:
            return rules
        other = _IPV6 if self.ipv4 else _IPV4
        bases = [chain.name for chain in self._chains() if chain.kind]
        return [(name, (*other, _ACCEPT)) for name in bases] + rules

    def _chains(self) -> tuple[Chain, ...]:
        return (*CHAINS, Chain(GUARD)) if self.guard else CHAINS

    def load(self) -> None:
        """Make the table what it shall be, in one transaction; the operator's chain stays as it is."""
        if self._socket is None:
            return
        try:
            self._socket.batch(self._requests())
        except NetlinkError as refusal:
            if refusal.errno not in _DIFFERS:
                raise
            # Chains or sets of another kind are there, of another version of ours: away with them in the same stroke.
            self._socket.batch([*self._clearance(self._socket), *self._requests()])

    def _clearance(self, loaded: Nftables) -> list[Request]:
        table = self.table
        chains, sets = loaded.chains(table) - {OPERATOR}, loaded.sets(table)
        requests = [table.flush_chain(name) for name in chains] + [table.flush_set(name) for name in sets]
        return requests + [table.delete_chain(name) for name in chains] + [table.delete_set(name) for name in sets]

    def _requests(self) -> list[Request]:
        table = self.table
        requests = [table.add()]
        requests += [table.add_set(declared) for declared in SETS]
        requests += [table.add_chain(chain) for chain in self._chains()]
        requests += [table.flush_chain(chain.name) for chain in self._chains() if chain.name != OPERATOR]
        requests += [table.add_rule(chain, *expressions) for chain, expressions in self._rules()]
        for name, elements in self._wanted.items():
            requests.append(table.flush_set(name))
            requests += table.add_elements(name, list(elements.items()))
        return requests

    def intact(self) -> bool:
        """Whether the loaded table is what it shall be."""
        if self._socket is None:
            return True
        try:
            loaded = [rule.chain for rule in self._socket.rules(self.table) if rule.chain != OPERATOR]
            if sorted(loaded) != sorted(chain for chain, _ in self._rules()):
                return False
            for name, elements in self._wanted.items():
                if self._socket.elements(self.table, name) != elements:
                    return False
        except NetlinkError as refusal:
            if refusal.errno != errno.ENOENT:
                raise
            return False
        return True
