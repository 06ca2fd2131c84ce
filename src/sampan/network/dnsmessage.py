"""DNS messages as the embedded resolver needs them (RFC 1035, RFC 6891), over dnslib: read a question, write answers.

Forwarded messages pass through byte for byte, whatever they hold; only what is answered here is packed here. dnslib is
loaded with the first use (see `load`): most daemons have no user-defined network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dnslib import RD, DNSHeader, DNSLabel, DNSQuestion

A, PTR, AAAA, OPT, ANY = 1, 12, 28, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP = 0, 1, 2, 3, 4
PLAIN_LIMIT = 512
EDNS_LIMIT = 1232
"""What we offer: fits every path without fragments (DNS flag day 2020)."""
RECORD_OVERHEAD = 12
"""Bytes of a record without its data; its owner is a pointer to the question's name."""
SURELY_FIT = 4
"""So many records go into any datagram: 253 bytes of name, 11 of OPT and 28 for each."""
REMEMBERED = 256
"""Small messages that need not be read or packed again: programs ask the same over and over. What the answer is, is
looked up each time."""
MOST_EXTRAS = 2
"""Additional records that are read: OPT, and a signature. More would only cost time."""

IPAddress = IPv4Address | IPv6Address


class Malformed(ValueError):
    """Not a question that can be answered; `reply` says so, or is None where nothing should be sent."""

    def __init__(self, reply: bytes | None) -> None:
        super().__init__("malformed DNS message")
        self.reply = reply


class Question(NamedTuple):
    """`name` is in lower case without the last dot; `asked` as it came; `limit` of an answer over UDP in bytes."""

    id: int
    recursion: int
    name: str
    kind: int
    asked: DNSQuestion
    edns: bool
    limit: int
    message: bytes
    """As it came, without the id."""


def load() -> None:
    """Import dnslib (15 ms); for a thread, so that the first question need not wait for it."""
    import dnslib  # noqa: F401 # kept by the interpreter


def parse(message: bytes) -> Question:
    """Read a query; Malformed for everything else. What was asked a moment ago is not read again."""
    read = _remembered if len(message) <= PLAIN_LIMIT else _read
    try:
        question = read(message[2:])
    except Malformed as fault:
        raise Malformed(fault.reply and message[:2] + fault.reply[2:]) from None
    return question._replace(id=int.from_bytes(message[:2], "big"))


def _read(message: bytes) -> Question:
    """A query without its id; Malformed has a reply with the id 0."""
    from dnslib import RR, DNSBuffer, DNSError, DNSHeader, DNSQuestion

    buffer = DNSBuffer(bytes(2) + message)
    try:
        header = DNSHeader.parse(buffer)
    except DNSError:
        raise Malformed(None) from None
    if header.qr:
        raise Malformed(None)  # an answer: to answer it could make a loop
    if header.opcode:
        raise Malformed(_refusal(header.id, header.opcode, header.rd, NOTIMP))
    # Records that no question has are not even read: names that point at names at names take long.
    if header.q != 1 or header.a or header.auth or header.ar > MOST_EXTRAS:
        raise _malformed(header)
    try:
        asked = DNSQuestion.parse(buffer)
        extras = [RR.parse(buffer) for _ in range(header.ar)]
    except (DNSError, ValueError, RecursionError):
        raise _malformed(header) from None
    if asked.qclass not in (IN, ANY) or len(asked.qname) > 253 or max(map(len, asked.qname.label), default=0) > 63:
        raise _malformed(header)
    sizes = [extra.rclass for extra in extras if extra.rtype == OPT]
    name = b".".join(asked.qname.label).decode("latin-1").lower()
    limit = min(max(*sizes, PLAIN_LIMIT), EDNS_LIMIT) if sizes else PLAIN_LIMIT
    return Question(0, header.rd, name, asked.qtype, asked, bool(sizes), limit, message)


_remembered = lru_cache(maxsize=REMEMBERED)(_read)


def _malformed(header: DNSHeader) -> Malformed:
    return Malformed(_refusal(header.id, 0, header.rd, FORMERR))


def _refusal(number: int, opcode: int, recursion: int, code: int) -> bytes:
    from dnslib import DNSHeader, DNSRecord

    return bytes(DNSRecord(DNSHeader(id=number, bitmap=0, qr=1, opcode=opcode, rd=recursion, rcode=code)).pack())


def question(name: str, kind: int) -> DNSQuestion:
    """Something to ask."""
    from dnslib import DNSQuestion

    return DNSQuestion(_label(name), kind)


def query(asked: DNSQuestion, number: int) -> bytes:
    """The message that asks it of a peer, which is not to pass it on."""
    from dnslib import DNSHeader, DNSRecord

    return bytes(DNSRecord(DNSHeader(id=number, bitmap=0), q=asked).pack())


def _label(name: str) -> DNSLabel:
    """As labels of bytes, which spares dnslib's IDNA; longer labels are cut."""
    from dnslib import DNSLabel

    return DNSLabel([label.encode("latin-1", "replace")[:63] for label in name.split(".") if label])


def reply(
    question: Question,
    records: Sequence[tuple[int, RD]] = (),
    code: int = NOERROR,
    *,
    ttl: int = 0,
    stream: bool = False,
) -> bytes:
    """The answer with these records (`address_record`, `name_record`); cut short where it would not fit a datagram."""
    from dnslib import EDNS0, RR, DNSHeader, DNSRecord

    header = DNSHeader(id=question.id, bitmap=0, qr=1, ra=1, rd=question.recursion, rcode=code)
    answer = DNSRecord(header, q=question.asked)
    if question.edns:
        answer.add_ar(EDNS0(udp_len=EDNS_LIMIT))
    if stream or len(records) <= SURELY_FIT:
        kept = records
    else:
        kept = list(_fitting(records, question.limit - len(answer.pack())))
        header.tc = len(kept) < len(records)
    answer.add_answer(*(RR(question.asked.qname, kind, ttl=ttl, rdata=data) for kind, data in kept))
    return bytes(answer.pack())


def reply_with(question: Question, addresses: Sequence[IPAddress], *, ttl: int, stream: bool) -> bytes:
    """`reply` with address records; a short answer to the same question is not packed again."""
    short = len(addresses) <= SURELY_FIT and len(question.message) <= PLAIN_LIMIT
    pack = _packed_before if short else _packed
    return with_id(pack(question.message, tuple(addresses), ttl, stream), question.id)


def _packed(message: bytes, addresses: tuple[IPAddress, ...], ttl: int, stream: bool) -> bytes:
    return reply(_read(message), [address_record(one) for one in addresses], ttl=ttl, stream=stream)


_packed_before = lru_cache(maxsize=REMEMBERED)(_packed)


def _fitting(records: Sequence[tuple[int, RD]], room: int) -> Iterator[tuple[int, RD]]:
    for kind, data in records:
        room -= RECORD_OVERHEAD + len(data.data)
        if room < 0:
            return
        yield kind, data


def address_record(address: IPAddress) -> tuple[int, RD]:
    """An A or AAAA record."""
    from dnslib import AAAA as SIX
    from dnslib import A as FOUR

    # Both take the bytes as numbers, which spares a detour over text.
    four = address.version == 4
    return (A, FOUR(tuple(address.packed))) if four else (AAAA, SIX(tuple(address.packed)))


def name_record(name: str) -> tuple[int, RD]:
    """A PTR record."""
    from dnslib import PTR as POINTER

    return PTR, POINTER(_label(name))


def reverse_address(name: str) -> IPAddress | None:
    """The address that `….in-addr.arpa` or `….ip6.arpa` asks for, or None."""
    try:
        if name.endswith(".in-addr.arpa"):
            return IPv4Address(".".join(reversed(name.removesuffix(".in-addr.arpa").split("."))))
        if name.endswith(".ip6.arpa"):
            digits = "".join(reversed(name.removesuffix(".ip6.arpa").split(".")))
            return ip_address(bytes.fromhex(digits)) if len(digits) == 32 else None
    except ValueError:
        return None
    return None


def answers(message: bytes, number: int, asked: DNSQuestion) -> bool:
    """Whether an upstream's message is the answer to that question under that id (RFC 5452, section 9.1)."""
    from dnslib import DNSBuffer, DNSError, DNSHeader, DNSQuestion

    buffer = DNSBuffer(message)
    try:
        header, echoed = DNSHeader.parse(buffer), DNSQuestion.parse(buffer)
    except (DNSError, RecursionError):
        return False
    return bool(header.id == number and header.qr and header.q == 1 and echoed == asked)


def addresses(message: bytes) -> list[IPAddress]:
    """The addresses in the answer of a peer; none where it cannot be read."""
    from dnslib import DNSError, DNSRecord

    try:
        records = DNSRecord.parse(message).rr
    except (DNSError, ValueError, RecursionError):
        return []
    return [ip_address(bytes(record.rdata.data)) for record in records if record.rtype in (A, AAAA)]


def code(message: bytes) -> int:
    """The response code."""
    return message[3] & 0x0F


def with_id(message: bytes, number: int) -> bytes:
    """The same message under another id: packing it anew could change what we do not know."""
    return number.to_bytes(2, "big") + message[2:]


def truncated(message: bytes) -> bool:
    """Whether there is more to be had over TCP."""
    return bool(message[2] & 0x02)
