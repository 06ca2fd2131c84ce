"""Netlink sockets and the packing of messages and attributes (RFC 3549, include/uapi/linux/netlink.h).

The kernel works off a request inside `send`, so that all answers are queued when it returns: nothing here waits,
and an event loop may call it directly. A socket keeps the network namespace in which it was opened.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800

NLMSG_NOOP = 1
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_ACK_TLVS = 0x200
NLMSGERR_ATTR_MSG = 1

SOL_NETLINK = 270
NETLINK_ADD_MEMBERSHIP = 1
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
NETLINK_GET_STRICT_CHK = 12

NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

SO_SNDBUFFORCE = 32

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_PAD = (b"", b"\0\0\0", b"\0\0", b"\0")
_RECEIVE = 1 << 18


Message = tuple[int, int, bytes]
"""(type, sequence number, payload) as received."""


class NetlinkError(OSError):
    """A request was refused; `strerror` carries the kernel's extended text where it gave one, `index` the message."""

    def __init__(self, number: int, text: str, index: int = 0) -> None:
        super().__init__(number, text or os.strerror(number))
        self.index = index


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute with its padding."""
    return _ATTRIBUTE.pack(len(data) + 4, kind) + data + _PAD[len(data) & 3]


def u8(kind: int, value: int) -> bytes:
    """An attribute of one byte."""
    return attribute(kind, bytes((value,)))


def u16(kind: int, value: int) -> bytes:
    """An attribute of two bytes in host order."""
    return attribute(kind, struct.pack("=H", value))


def u32(kind: int, value: int) -> bytes:
    """An attribute of four bytes in host order."""
    return attribute(kind, struct.pack("=I", value))


def be32(kind: int, value: int) -> bytes:
    """An attribute of four bytes in network order (nfnetlink)."""
    return attribute(kind, struct.pack(">I", value))


def text(kind: int, value: str) -> bytes:
    """A NUL-terminated string attribute."""
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def walk(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The (type, value) pairs of a run of attributes, flags of the type removed; a cut tail ends it."""
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            return
        yield kind & NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes by type; of repeated ones the last."""
    return dict(walk(data, offset))


def message(kind: int, flags: int, payload: bytes, sequence: int) -> bytes:
    """One message with its header; `payload` is padded."""
    padded = payload + _PAD[len(payload) & 3]
    return _HEADER.pack(16 + len(payload), kind, flags, sequence, 0) + padded


class NetlinkSocket:
    """One socket of one netlink protocol; not shared between threads."""

    def __init__(self, protocol: int, groups: tuple[int, ...] = ()) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._set_up(groups)
        except OSError:
            self.socket.close()
            raise
        self._sequence = 0

    def _set_up(self, groups: tuple[int, ...]) -> None:
        self.socket.setblocking(False)
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
            self.socket.setsockopt(SOL_NETLINK, option, 1)
        self.socket.bind((0, 0))
        for group in groups:
            self.socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)

    def fileno(self) -> int:
        """For an event loop that waits for notifications."""
        return self.socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def next_sequence(self) -> int:
        """A number that no message of this socket bears yet."""
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        return self._sequence

    def request(self, *requests: tuple[int, int, bytes]) -> None:
        """Send (type, flags, payload) messages in one system call; the first refusal is raised."""
        first = self._sequence + 1
        data = b"".join(
            message(kind, flags | NLM_F_REQUEST | NLM_F_ACK, payload, self.next_sequence())
            for kind, flags, payload in requests
        )
        self.send(data)
        self.collect(first)

    def query(self, kind: int, flags: int, payload: bytes) -> list[bytes]:
        """The payloads that answer a GET or a dump."""
        first = self.next_sequence()
        self.send(message(kind, flags | NLM_F_REQUEST, payload, first))
        return [payload for _, _, payload in self.collect(first)]

    def send(self, data: bytes) -> None:
        """Send packed messages; a batch larger than the send buffer grows it."""
        if len(data) > 100_000:
            for option in (socket.SO_SNDBUF, SO_SNDBUFFORCE):
                try:
                    self.socket.setsockopt(socket.SOL_SOCKET, option, 2 * len(data))
                except PermissionError:
                    pass  # without CAP_NET_ADMIN in the initial user namespace the plain limit stays
        self.socket.send(data)

    def collect(self, first: int) -> list[Message]:
        """All queued answers to the messages numbered from `first`; the first refusal is raised at the end."""
        answers: list[Message] = []
        refusal: NetlinkError | None = None
        for answer in self.receive():
            kind, sequence, payload = answer
            if sequence < first:
                continue
            if kind in (NLMSG_ERROR, NLMSG_DONE):
                refusal = refusal or _refusal(payload, kind, sequence - first)
            elif kind != NLMSG_NOOP:
                answers.append(answer)
        if refusal is not None:
            raise refusal
        return answers

    def receive(self) -> Iterator[Message]:
        """The queued messages, until the queue is empty."""
        while True:
            try:
                data = self.socket.recv(_RECEIVE)
            except BlockingIOError:
                return
            offset = 0
            while offset + 16 <= len(data):
                length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
                payload = data[offset + 16 : offset + length]
                if kind == NLMSG_ERROR and not flags & NLM_F_ACK_TLVS:
                    payload = payload[:20]
                yield kind, sequence, payload
                offset += (length + 3) & ~3


def _refusal(payload: bytes, kind: int, index: int) -> NetlinkError | None:
    if len(payload) < 4:
        return None
    number = -struct.unpack_from("=i", payload)[0]
    if number <= 0:
        return None
    # NLMSG_ERROR: error, the header of the refused message (NETLINK_CAP_ACK cuts its payload), then attributes.
    offset = 20 if kind == NLMSG_ERROR else 4
    reason = attributes(payload, offset).get(NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode(errors="replace")
    return NetlinkError(number, reason, index)
