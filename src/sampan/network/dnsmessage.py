"""DNS messages as the embedded resolver needs them (RFC 1035, RFC 6891): read a question, write answers. Pure.

Forwarded messages pass through as they are; only what is answered here is packed here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

A, PTR, AAAA, OPT, ANY = 1, 12, 28, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP = 0, 1, 2, 3, 4
_QR, _AA, _TC, _RD, _RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800
PLAIN_LIMIT = 512
EDNS_LIMIT = 1232
"""What we offer: fits every path without fragments (DNS flag day 2020)."""

_HEADER = struct.Struct(">HHHHHH")
_TAIL = struct.Struct(">HH")
_RECORD = struct.Struct(">HHIH")


class Malformed(ValueError):
    """Not a question that can be answered; `reply` says so, or is None where nothing should be sent."""

    def __init__(self, reply: bytes | None) -> None:
        super().__init__("malformed DNS message")
        self.reply = reply


@dataclass(frozen=True)
class Question:
    """`name` is in lower case without the last dot; `raw` the question's bytes; `limit` of an answer over UDP."""

    id: int
    flags: int
    name: str
    kind: int
    raw: bytes
    edns: bool
    limit: int


def parse(message: bytes) -> Question:
    """Read a query; Malformed for everything else."""
    if len(message) < 12:
        raise Malformed(None)
    number, flags, questions, answers, _, additional = _HEADER.unpack_from(message)
    if flags & _QR:
        raise Malformed(None)  # an answer: to answer it could make a loop
    if flags & _OPCODE:
        raise Malformed(_HEADER.pack(number, _QR | flags & (_OPCODE | _RD) | NOTIMP, 0, 0, 0, 0))
    refusal = _HEADER.pack(number, _QR | flags & _RD | FORMERR, 0, 0, 0, 0)
    if questions != 1 or answers:
        raise Malformed(refusal)
    labels, offset = _labels(message, refusal)
    kind, cls = _TAIL.unpack_from(message, offset)
    if cls not in (IN, ANY):
        raise Malformed(refusal)
    offset += 4
    edns = additional > 0 and message[offset : offset + 3] == b"\0\0\x29" and len(message) >= offset + 11
    size = int.from_bytes(message[offset + 3 : offset + 5], "big") if edns else 0
    name = b".".join(labels).decode("latin-1").lower()
    limit = min(max(size, PLAIN_LIMIT), EDNS_LIMIT)
    return Question(number, flags, name, kind, message[12:offset], edns, limit)


def _labels(message: bytes, refusal: bytes) -> tuple[list[bytes], int]:
    labels, offset = [], 12
    while True:
        length = message[offset] if offset < len(message) else 255
        # Compression has no place in the only question; a name has 255 bytes at most.
        if length > 63 or offset + length + 1 > len(message) or offset > 12 + 255:
            raise Malformed(refusal)
        offset += 1
        if length == 0:
            break
        labels.append(message[offset : offset + length])
        offset += length
    if offset + 4 > len(message):
        raise Malformed(refusal)
    return labels, offset


def pack_name(name: str) -> bytes:
    """A name as length-prefixed labels; longer labels are cut."""
    labels = [label.encode("latin-1", "replace")[:63] for label in name.strip(".").split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def reply(question: Question, records: Sequence[bytes] = (), code: int = NOERROR, *, stream: bool = False) -> bytes:
    """The answer with these records (see `address_record`, `name_record`); cut short where it would not fit."""
    flags = _QR | _RA | (question.flags & _RD) | code
    tail = b"\0" + _RECORD.pack(OPT, EDNS_LIMIT, 0, 0) if question.edns else b""
    limit = 65535 if stream else question.limit
    kept: list[bytes] = []
    size = 12 + len(question.raw) + len(tail)
    for record in records:
        size += len(record)
        if size > limit:
            flags |= _TC
            break
        kept.append(record)
    header = _HEADER.pack(question.id, flags, 1, len(kept), 0, 1 if question.edns else 0)
    return header + question.raw + b"".join(kept) + tail


def _record(kind: int, ttl: int, data: bytes) -> bytes:
    # The owner is a pointer to the question's name, at byte 12.
    return b"\xc0\x0c" + _RECORD.pack(kind, IN, ttl, len(data)) + data


def address_record(address: IPv4Address | IPv6Address, ttl: int) -> bytes:
    """An A or AAAA record for the question's name."""
    return _record(A if address.version == 4 else AAAA, ttl, address.packed)


def name_record(name: str, ttl: int) -> bytes:
    """A PTR record for the question's name."""
    return _record(PTR, ttl, pack_name(name))


def reverse_address(name: str) -> IPv4Address | IPv6Address | None:
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


def answers_question(message: bytes, number: int, raw: bytes) -> bool:
    """Whether an upstream's message is the answer to the question with that id and those bytes."""
    if len(message) < 12 + len(raw) or int.from_bytes(message[:2], "big") != number or not message[2] & 0x80:
        return False
    return message[12 : 12 + len(raw)].lower() == raw.lower()


def addresses(message: bytes, question_length: int) -> list[IPv4Address | IPv6Address]:
    """The addresses in an answer that `reply` packed; anything else in it ends the list."""
    found: list[IPv4Address | IPv6Address] = []
    offset = 12 + question_length
    for _ in range(int.from_bytes(message[6:8], "big")):
        if len(message) < offset + 12 or message[offset : offset + 2] != b"\xc0\x0c":
            break
        kind, _, _, size = _RECORD.unpack_from(message, offset + 2)
        data = message[offset + 12 : offset + 12 + size]
        if (kind, len(data)) not in ((A, 4), (AAAA, 16)):
            break
        found.append(ip_address(data))
        offset += 12 + size
    return found


def code(message: bytes) -> int:
    """The response code."""
    return message[3] & 0x0F


def with_id(message: bytes, number: int) -> bytes:
    """The same message under another id."""
    return number.to_bytes(2, "big") + message[2:]


def truncated(message: bytes) -> bool:
    """Whether there is more to be had over TCP."""
    return bool(message[2] & 0x02)
