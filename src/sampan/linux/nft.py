"""nftables: tables, chains, sets, maps, rules and their expressions (include/uapi/linux/netfilter/nf_tables.h).

Every function packs one request or one expression; `NetfilterSocket.batch` sends requests as one transaction.
Registers are the 32-bit ones, numbered from 0: a field takes as many as it has words, concatenated fields follow on.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache

from msgspec import Struct

from .netlink import NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, attribute, attributes, be32, nested, text, walk
from .nfnetlink import NFNL_SUBSYS_NFTABLES, NFPROTO_INET, NetfilterSocket, Request, genmsg

_SUBSYS = NFNL_SUBSYS_NFTABLES << 8
NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE = 0, 2
NFT_MSG_NEWCHAIN, NFT_MSG_GETCHAIN, NFT_MSG_DELCHAIN = 3, 4, 5
NFT_MSG_NEWRULE, NFT_MSG_GETRULE, NFT_MSG_DELRULE = 6, 7, 8
NFT_MSG_NEWSET, NFT_MSG_GETSET, NFT_MSG_DELSET = 9, 10, 11
NFT_MSG_NEWSETELEM, NFT_MSG_GETSETELEM, NFT_MSG_DELSETELEM = 12, 13, 14
NFT_MSG_NEWGEN = 15
NFTA_GEN_PROC_PID = 2

NFTA_TABLE_NAME = 1
NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY, NFTA_CHAIN_TYPE = 1, 3, 4, 5, 7
NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY = 1, 2
NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_HANDLE, NFTA_RULE_EXPRESSIONS, NFTA_RULE_USERDATA = 1, 2, 3, 4, 7
NFTA_LIST_ELEM = 1
NFTA_EXPR_NAME, NFTA_EXPR_DATA = 1, 2
NFTA_SET_TABLE, NFTA_SET_NAME, NFTA_SET_FLAGS, NFTA_SET_KEY_TYPE, NFTA_SET_KEY_LEN = 1, 2, 3, 4, 5
NFTA_SET_DATA_TYPE, NFTA_SET_DATA_LEN, NFTA_SET_ID, NFTA_SET_USERDATA = 6, 7, 10, 13
NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_ELEMENTS = 1, 2, 3
NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_DATA = 1, 2
NFTA_DATA_VALUE, NFTA_DATA_VERDICT = 1, 2
NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN = 1, 2
NFT_SET_MAP = 0x8
NFT_DATA_VERDICT = 0xFFFFFF00

NF_DROP, NF_ACCEPT = 0, 1
NFT_JUMP, NFT_GOTO, NFT_RETURN = -3, -4, -5

NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN, NF_INET_FORWARD, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING = 0, 1, 2, 3, 4
NF_IP_PRI_RAW, NF_IP_PRI_NAT_DST, NF_IP_PRI_FILTER, NF_IP_PRI_NAT_SRC = -300, -100, 0, 100

META_IIFNAME, META_OIFNAME, META_NFPROTO, META_L4PROTO, META_PKTTYPE = 6, 7, 15, 16, 19
CT_STATE, CT_STATUS = 0, 2
CT_STATE_ESTABLISHED, CT_STATE_RELATED = 2, 4
IPS_DST_NAT = 1 << 5
FIB_ADDRTYPE = 3
FIB_DADDR, FIB_IIF = 2, 8
RTN_LOCAL = 2
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
CMP_EQ, CMP_NEQ = 0, 1
NF_NAT_RANGE_MAP_IPS, NF_NAT_RANGE_PROTO_SPECIFIED = 1, 2

# Key and data types as the nft program numbers them, so that `nft list` shows them well.
IPV4_ADDR, IPV6_ADDR, INET_PROTO, INET_SERVICE, IFNAME = 7, 8, 12, 13, 41
_WIDTH = {IPV4_ADDR: 4, IPV6_ADDR: 16, INET_PROTO: 1, INET_SERVICE: 2, IFNAME: 16}
_HOST_ORDER = (IFNAME,)
BYTEORDER_HOST, BYTEORDER_BIG = 1, 2


class Set(Struct, frozen=True):
    """A set, or a map where `data` is given; types are concatenated. `verdicts`: the data are verdicts."""

    name: str
    key: tuple[int, ...]
    data: tuple[int, ...] = ()
    verdicts: bool = False

    @property
    def is_map(self) -> bool:
        return bool(self.data) or self.verdicts


class Chain(Struct, frozen=True):
    """A chain; a base chain where `hook` is given (`kind` is filter, nat or route)."""

    name: str
    kind: str = ""
    hook: int = -1
    priority: int = 0


def words(data: bytes) -> bytes:
    """Padded to full registers."""
    return data + bytes(-len(data) % 4)


def interface_name(name: str) -> bytes:
    """An interface name as sets and comparisons hold it."""
    return name.encode().ljust(16, b"\0")


def _type(types: Sequence[int]) -> int:
    number = 0
    for part in types:
        number = number << 6 | part
    return number


def _length(types: Sequence[int]) -> int:
    if len(types) == 1:
        return _WIDTH[types[0]]
    return sum(_WIDTH[part] + (-_WIDTH[part] % 4) for part in types)


def value(data: bytes) -> bytes:
    """Data of a map's element, as NFTA_DATA_VALUE."""
    return attribute(NFTA_DATA_VALUE, data)


def verdict(code: int, chain: str = "") -> bytes:
    """NFTA_DATA_VERDICT."""
    name = text(NFTA_VERDICT_CHAIN, chain) if chain else b""
    # As the kernel writes it, without the nested flag: what is read back compares equal.
    return attribute(NFTA_DATA_VERDICT, be32(NFTA_VERDICT_CODE, code & 0xFFFFFFFF) + name)


class Table:
    """Requests about one table."""

    def __init__(self, name: str, family: int = NFPROTO_INET) -> None:
        self.name = name
        self.family = family
        self._head = genmsg(family)
        self._set_id = 0

    def add(self) -> Request:
        """Make the table, or leave it as it is."""
        return _SUBSYS | NFT_MSG_NEWTABLE, NLM_F_CREATE, self._head + text(NFTA_TABLE_NAME, self.name)

    def delete(self) -> Request:
        """Delete the table with all it holds."""
        return _SUBSYS | NFT_MSG_DELTABLE, 0, self._head + text(NFTA_TABLE_NAME, self.name)

    def add_chain(self, chain: Chain) -> Request:
        """Make a chain, or leave it as it is."""
        payload = self._head + text(NFTA_CHAIN_TABLE, self.name) + text(NFTA_CHAIN_NAME, chain.name)
        if chain.kind:
            place = be32(NFTA_HOOK_HOOKNUM, chain.hook) + be32(NFTA_HOOK_PRIORITY, chain.priority & 0xFFFFFFFF)
            payload += nested(NFTA_CHAIN_HOOK, place) + be32(NFTA_CHAIN_POLICY, NF_ACCEPT)
            payload += text(NFTA_CHAIN_TYPE, chain.kind)
        return _SUBSYS | NFT_MSG_NEWCHAIN, NLM_F_CREATE, payload

    def delete_chain(self, name: str) -> Request:
        """Delete a chain that has no rules and that nothing refers to."""
        payload = self._head + text(NFTA_CHAIN_TABLE, self.name) + text(NFTA_CHAIN_NAME, name)
        return _SUBSYS | NFT_MSG_DELCHAIN, 0, payload

    def delete_set(self, name: str) -> Request:
        """Delete a set or map that no rule refers to."""
        payload = self._head + text(NFTA_SET_TABLE, self.name) + text(NFTA_SET_NAME, name)
        return _SUBSYS | NFT_MSG_DELSET, 0, payload

    def flush_chain(self, name: str) -> Request:
        """Delete the rules of a chain."""
        payload = self._head + text(NFTA_RULE_TABLE, self.name) + text(NFTA_RULE_CHAIN, name)
        return _SUBSYS | NFT_MSG_DELRULE, 0, payload

    def add_rule(self, chain: str, *expressions: bytes, insert: bool = False, comment: str = "") -> Request:
        """Append a rule, or insert it before all others."""
        payload = self._head + text(NFTA_RULE_TABLE, self.name) + text(NFTA_RULE_CHAIN, chain)
        payload += nested(NFTA_RULE_EXPRESSIONS, *(attribute(NFTA_LIST_ELEM | 0x8000, part) for part in expressions))
        if comment:
            payload += attribute(NFTA_RULE_USERDATA, bytes((0, len(comment) + 1)) + comment.encode() + b"\0")
        return _SUBSYS | NFT_MSG_NEWRULE, NLM_F_CREATE | (0 if insert else NLM_F_APPEND), payload

    def delete_rule(self, chain: str, handle: int) -> Request:
        """Delete one rule by its handle."""
        payload = self._head + text(NFTA_RULE_TABLE, self.name) + text(NFTA_RULE_CHAIN, chain)
        return _SUBSYS | NFT_MSG_DELRULE, 0, payload + attribute(NFTA_RULE_HANDLE, struct.pack(">Q", handle))

    def add_set(self, declared: Set) -> Request:
        """Make a set or map; one of that name must not exist with another type."""
        self._set_id += 1
        payload = self._head + text(NFTA_SET_TABLE, self.name) + text(NFTA_SET_NAME, declared.name)
        payload += be32(NFTA_SET_FLAGS, NFT_SET_MAP if declared.is_map else 0)
        payload += be32(NFTA_SET_KEY_TYPE, _type(declared.key)) + be32(NFTA_SET_KEY_LEN, _length(declared.key))
        payload += be32(NFTA_SET_ID, self._set_id)
        if len(declared.key) == 1:
            # nft shows keys of host order wrongly unless it is told (libnftnl's udata: type, length, value).
            order = BYTEORDER_HOST if declared.key[0] in _HOST_ORDER else BYTEORDER_BIG
            payload += attribute(NFTA_SET_USERDATA, struct.pack("=BBI", 0, 4, order))
        if declared.verdicts:
            payload += be32(NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT) + be32(NFTA_SET_DATA_LEN, 16)
        elif declared.data:
            payload += be32(NFTA_SET_DATA_TYPE, _type(declared.data))
            payload += be32(NFTA_SET_DATA_LEN, _length(declared.data))
        return _SUBSYS | NFT_MSG_NEWSET, NLM_F_CREATE, payload

    def flush_set(self, name: str) -> Request:
        """Delete all elements of a set."""
        payload = self._head + text(NFTA_SET_ELEM_LIST_TABLE, self.name) + text(NFTA_SET_ELEM_LIST_SET, name)
        return _SUBSYS | NFT_MSG_DELSETELEM, 0, payload

    def _elements(self, name: str, packed: Iterable[bytes]) -> bytes:
        payload = self._head + text(NFTA_SET_ELEM_LIST_TABLE, self.name) + text(NFTA_SET_ELEM_LIST_SET, name)
        return payload + nested(NFTA_SET_ELEM_LIST_ELEMENTS, *packed)

    def add_elements(
        self, name: str, elements: Sequence[tuple[bytes, bytes | None]], *, new: bool = False
    ) -> list[Request]:
        """Add (key, data) pairs, data None in a set, else `value(…)` or `verdict(…)`; `new`: none may exist yet."""
        flags = NLM_F_CREATE | (NLM_F_EXCL if new else 0)
        packed = [_element(key, data) for key, data in elements]
        return [
            (_SUBSYS | NFT_MSG_NEWSETELEM, flags, self._elements(name, packed[start : start + 256]))
            for start in range(0, len(packed), 256)
        ]

    def delete_elements(self, name: str, keys: Sequence[bytes]) -> list[Request]:
        """Delete elements by key; each must be there."""
        packed = [_element(key, None) for key in keys]
        return [
            (_SUBSYS | NFT_MSG_DELSETELEM, 0, self._elements(name, packed[start : start + 256]))
            for start in range(0, len(packed), 256)
        ]


@lru_cache(maxsize=64)
def _frames(key: int, data: int) -> tuple[bytes, bytes]:
    """What stands before the key and before the data of an element with so many bytes of each, padded to registers."""
    value = nested(NFTA_SET_ELEM_KEY, attribute(NFTA_DATA_VALUE, bytes(key)))
    held = nested(NFTA_SET_ELEM_DATA, bytes(data)) if data else b""
    whole = attribute(NFTA_LIST_ELEM | 0x8000, value + held)
    return whole[: len(whole) - len(held) - key], held[: len(held) - data]


def _element(key: bytes, data: bytes | None) -> bytes:
    before_key, before_data = _frames(len(key), len(data or b""))
    return b"".join((before_key, key, before_data, data or b""))


# Expressions


def _expression(name: str, *data: bytes) -> bytes:
    return text(NFTA_EXPR_NAME, name) + nested(NFTA_EXPR_DATA, *data)


def _register(number: int) -> int:
    return 8 + number  # NFT_REG32_00


def meta(key: int, register: int = 0) -> bytes:
    """Load META_…."""
    return _expression("meta", be32(2, key), be32(1, _register(register)))


def ct(key: int, register: int = 0) -> bytes:
    """Load CT_… of the connection."""
    return _expression("ct", be32(2, key), be32(1, _register(register)))


def payload(base: int, offset: int, length: int, register: int = 0) -> bytes:
    """Load bytes of the packet from the header `base`."""
    return _expression("payload", be32(1, _register(register)), be32(2, base), be32(3, offset), be32(4, length))


def fib(flags: int, register: int = 0) -> bytes:
    """Load the kind (RTN_…) of the address that `flags` name."""
    return _expression("fib", be32(1, _register(register)), be32(2, FIB_ADDRTYPE), be32(3, flags))


def compare(data: bytes, operator: int = CMP_EQ, register: int = 0) -> bytes:
    """Go on only where the register compares so."""
    return _expression("cmp", be32(1, _register(register)), be32(2, operator), nested(3, attribute(1, data)))


def mask(value: bytes, register: int = 0) -> bytes:
    """And a register with `value`."""
    zero = nested(5, attribute(1, bytes(len(value))))
    width = be32(3, len(value))
    return _expression(
        "bitwise",
        be32(1, _register(register)),
        be32(2, _register(register)),
        width,
        nested(4, attribute(1, value)),
        zero,
    )


def lookup(name: str, register: int = 0, *, inverted: bool = False) -> bytes:
    """Go on only where the key from `register` on is in the set (or is not)."""
    return _expression("lookup", text(1, name), be32(2, _register(register)), be32(5, 1) if inverted else b"")


def map_lookup(name: str, register: int = 0, to: int = 0) -> bytes:
    """Load the map's value for the key from `register` on; go on only where there is one."""
    return _expression("lookup", text(1, name), be32(2, _register(register)), be32(3, _register(to)))


def verdict_lookup(name: str, register: int = 0) -> bytes:
    """Follow the verdict that the map holds for the key from `register` on."""
    return _expression("lookup", text(1, name), be32(2, _register(register)), be32(3, 0))


def immediate(code: int, chain: str = "") -> bytes:
    """A verdict: NF_ACCEPT, NF_DROP, NFT_RETURN, or NFT_JUMP and NFT_GOTO to a chain."""
    return _expression("immediate", be32(1, 0), nested(2, verdict(code, chain)))


def load(data: bytes, register: int = 0) -> bytes:
    """Load a constant."""
    return _expression("immediate", be32(1, _register(register)), nested(2, attribute(1, data)))


def payload_set(base: int, offset: int, length: int, checksum_offset: int, register: int = 0) -> bytes:
    """Write a register into the packet and mend the Internet checksum at `checksum_offset` of the same header."""
    where = be32(2, base) + be32(3, offset) + be32(4, length)
    return _expression("payload", where, be32(5, _register(register)), be32(6, 1), be32(7, checksum_offset))


def counter() -> bytes:
    """Count packets and bytes."""
    return _expression("counter", attribute(1, bytes(8)), attribute(2, bytes(8)))


def nat(family: int, *, source: bool, address: int, port: int | None = None) -> bytes:
    """Translate to the address in register `address`, and to the port in register `port`."""
    flags = NF_NAT_RANGE_MAP_IPS | (NF_NAT_RANGE_PROTO_SPECIFIED if port is not None else 0)
    ports = be32(5, _register(port)) + be32(6, _register(port)) if port is not None else b""
    where = be32(3, _register(address)) + be32(4, _register(address))
    return _expression("nat", be32(1, 0 if source else 1), be32(2, family), where, ports, be32(7, flags))


def masquerade() -> bytes:
    """Translate the source to the address of the interface that the packet leaves by."""
    return _expression("masq")


# Readers


class Rule(Struct, frozen=True):
    """One rule of a chain, by the number that the kernel gave it."""

    chain: str
    handle: int
    expressions: bytes
    comment: str = ""


class BaseChain(Struct, frozen=True):
    """A chain that the kernel calls; `policy` is NF_ACCEPT or NF_DROP."""

    name: str
    hook: int
    policy: int


class Nftables(NetfilterSocket):
    """Reads back what is loaded."""

    def chains(self, table: Table) -> set[str]:
        """Names of the chains of a table."""
        answers = self.query(_SUBSYS | NFT_MSG_GETCHAIN, NLM_F_DUMP, genmsg(table.family))
        found = [attributes(answer, 4) for answer in answers]
        return {_string(item[NFTA_CHAIN_NAME]) for item in found if _string(item[NFTA_CHAIN_TABLE]) == table.name}

    def sets(self, table: Table) -> set[str]:
        """Names of the sets and maps of a table, but for the anonymous ones of rules."""
        request = genmsg(table.family) + text(NFTA_SET_TABLE, table.name)
        answers = self.query(_SUBSYS | NFT_MSG_GETSET, NLM_F_DUMP, request)
        names = {_string(attributes(answer, 4)[NFTA_SET_NAME]) for answer in answers}
        return {name for name in names if not name.startswith("__")}

    def base_chains(self, table: Table) -> list[BaseChain]:
        """The base chains of a table."""
        found = []
        for answer in self.query(_SUBSYS | NFT_MSG_GETCHAIN, NLM_F_DUMP, genmsg(table.family)):
            item = attributes(answer, 4)
            if _string(item[NFTA_CHAIN_TABLE]) == table.name and NFTA_CHAIN_HOOK in item:
                hook = int.from_bytes(attributes(item[NFTA_CHAIN_HOOK])[NFTA_HOOK_HOOKNUM], "big")
                policy = int.from_bytes(item.get(NFTA_CHAIN_POLICY, b"\1"), "big")
                found.append(BaseChain(_string(item[NFTA_CHAIN_NAME]), hook, policy))
        return found

    def rules(self, table: Table) -> list[Rule]:
        """The rules of a table, in order."""
        request = genmsg(table.family) + text(NFTA_RULE_TABLE, table.name)
        found = []
        for answer in self.query(_SUBSYS | NFT_MSG_GETRULE, NLM_F_DUMP, request):
            item = attributes(answer, 4)
            if _string(item[NFTA_RULE_TABLE]) == table.name:
                handle = int.from_bytes(item[NFTA_RULE_HANDLE], "big")
                note = item.get(NFTA_RULE_USERDATA, b"")
                comment = note[2 : 2 + note[1]] if len(note) > 2 and note[0] == 0 else b""
                expressions = item.get(NFTA_RULE_EXPRESSIONS, b"")
                found.append(Rule(_string(item[NFTA_RULE_CHAIN]), handle, expressions, _string(comment)))
        return found

    def elements(self, table: Table, name: str) -> dict[bytes, bytes | None]:
        """The elements of a set or map: key to data as `add_elements` takes them."""
        request = genmsg(table.family) + text(NFTA_SET_ELEM_LIST_TABLE, table.name)
        request += text(NFTA_SET_ELEM_LIST_SET, name)
        found: dict[bytes, bytes | None] = {}
        for answer in self.query(_SUBSYS | NFT_MSG_GETSETELEM, NLM_F_DUMP, request):
            for _, item in walk(attributes(answer, 4).get(NFTA_SET_ELEM_LIST_ELEMENTS, b"")):
                element = attributes(item)
                key = attributes(element[NFTA_SET_ELEM_KEY])[NFTA_DATA_VALUE]
                found[key] = element.get(NFTA_SET_ELEM_DATA)
        return found


def _string(data: bytes) -> str:
    return data.rstrip(b"\0").decode()
