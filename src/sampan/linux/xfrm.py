"""The kernel's IPsec: states and policies as ESP in transport mode needs them (include/uapi/linux/xfrm.h).

`Xfrm` is a socket in the namespace in which it was opened. Structures are packed by hand, padded as a compiler does.
"""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from .netlink import NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NetlinkError, NetlinkSocket, attribute, u32

NETLINK_XFRM = 6

XFRM_MSG_NEWSA, XFRM_MSG_DELSA, XFRM_MSG_GETSA = 0x10, 0x11, 0x12
XFRM_MSG_DELPOLICY, XFRM_MSG_GETPOLICY, XFRM_MSG_UPDPOLICY = 0x14, 0x15, 0x19
XFRMA_ALG_CRYPT, XFRMA_TMPL, XFRMA_ALG_AUTH_TRUNC, XFRMA_SA_EXTRA_FLAGS = 2, 5, 20, 24
XFRM_SA_XFLAG_OSEQ_MAY_WRAP = 2
XFRM_MODE_TRANSPORT = 0
XFRM_POLICY_IN, XFRM_POLICY_OUT = 0, 1
XFRM_POLICY_ALLOW, XFRM_POLICY_BLOCK = 0, 1
_FOR_EVER = (1 << 64) - 1  # XFRM_INF

_TRUNCATED_BITS = 128  # HMAC-SHA-256-128, RFC 4868

_SELECTOR = struct.Struct("=16s16s2s2s2s2sHBBB3xiI")
_ID = struct.Struct("=16s4sB3x")
_LIFETIME = struct.Struct("=8Q").pack(*[_FOR_EVER] * 4, *[0] * 4)
_CURRENT = bytes(32)
_STATE_TAIL = struct.Struct("=IIHBBB7x")  # sequence, reqid, family, mode, replay window, flags
_STATE_ID = struct.Struct("=16s4sHBx")
_POLICY_TAIL = struct.Struct("=IIBBBB4x")  # priority, index, direction, action, flags, share
_POLICY_ID_TAIL = struct.Struct("=IB3x")
_TEMPLATE_TAIL = struct.Struct("=H2x16sIBBBxIII")
_STATE_SIZE = 224

IPAddress = IPv4Address | IPv6Address
Request = tuple[int, int, bytes]


class State(Struct, frozen=True):
    """One direction between two hosts: who may send, under which index, with which keys."""

    source: IPAddress
    destination: IPAddress
    spi: int
    owner: int = 0
    """A number by which its maker knows it again (the kernel's reqid)."""
    cipher_key: bytes = b""
    authentication_key: bytes = b""


class Selector(Struct, frozen=True):
    """Which packets; a port of 0 is any, and an address of None as well."""

    source: IPAddress | None
    destination: IPAddress | None
    version: int
    source_port: int = 0
    destination_port: int = 0
    protocol: int = socket.IPPROTO_UDP


def _family(version: int) -> int:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _address(address: IPAddress | None) -> bytes:
    return address.packed.ljust(16, b"\0") if address is not None else bytes(16)


def _port(number: int) -> tuple[bytes, bytes]:
    return struct.pack(">H", number), b"\xff\xff" if number else b"\0\0"


def _selector(chosen: Selector) -> bytes:
    lengths = [end.max_prefixlen if end is not None else 0 for end in (chosen.destination, chosen.source)]
    ports = (*_port(chosen.destination_port), *_port(chosen.source_port))
    ends = _address(chosen.destination), _address(chosen.source)
    return _SELECTOR.pack(*ends, *ports, _family(chosen.version), *lengths, chosen.protocol, 0, 0)


def _algorithm(name: str, key: bytes, *numbers: int) -> bytes:
    return name.encode().ljust(64, b"\0") + struct.pack(f"={1 + len(numbers)}I", 8 * len(key), *numbers) + key


def add_state(state: State) -> Request:
    """ESP in transport mode: AES-256-CBC with HMAC-SHA-256-128.

    Not GCM: the keys are the same after a restart, and a counter that begins anew must not be fatal. For the same
    reason received sequence numbers are not checked (RFC 4303, 3.4.3: keys that are set by hand), and may wrap.
    """
    family = _family(state.source.version)
    any_packet = _SELECTOR.pack(bytes(16), bytes(16), *[bytes(2)] * 4, family, 0, 0, 0, 0, 0)
    payload = any_packet + _ID.pack(_address(state.destination), state.spi.to_bytes(4, "big"), socket.IPPROTO_ESP)
    payload += _address(state.source) + _LIFETIME + _CURRENT + bytes(12)
    payload += _STATE_TAIL.pack(0, state.owner, family, XFRM_MODE_TRANSPORT, 0, 0)
    payload += attribute(XFRMA_ALG_AUTH_TRUNC, _algorithm("hmac(sha256)", state.authentication_key, _TRUNCATED_BITS))
    payload += attribute(XFRMA_ALG_CRYPT, _algorithm("cbc(aes)", state.cipher_key))
    payload += u32(XFRMA_SA_EXTRA_FLAGS, XFRM_SA_XFLAG_OSEQ_MAY_WRAP)
    return XFRM_MSG_NEWSA, NLM_F_CREATE | NLM_F_EXCL, payload


def delete_state(state: State) -> Request:
    """Forget it."""
    spi = state.spi.to_bytes(4, "big")
    identity = _STATE_ID.pack(_address(state.destination), spi, _family(state.source.version), socket.IPPROTO_ESP)
    return XFRM_MSG_DELSA, 0, identity


def set_policy(selector: Selector, direction: int, state: State | None, priority: int) -> Request:
    """Such packets travel under that state and not otherwise; without one they are dropped. Replaces an earlier one."""
    action = XFRM_POLICY_ALLOW if state is not None else XFRM_POLICY_BLOCK
    payload = _selector(selector) + _LIFETIME + _CURRENT
    payload += _POLICY_TAIL.pack(priority, 0, direction, action, 0, 0)
    if state is not None:
        payload += attribute(XFRMA_TMPL, _template(state))
    return XFRM_MSG_UPDPOLICY, 0, payload


def _template(state: State) -> bytes:
    every = 0xFFFFFFFF
    tail = (state.owner, XFRM_MODE_TRANSPORT, 0, 0, every, every, every)
    identity = _ID.pack(_address(state.destination), state.spi.to_bytes(4, "big"), socket.IPPROTO_ESP)
    return identity + _TEMPLATE_TAIL.pack(_family(state.source.version), _address(state.source), *tail)


def delete_policy(selector: Selector, direction: int) -> Request:
    """Forget it."""
    return XFRM_MSG_DELPOLICY, 0, _selector(selector) + _POLICY_ID_TAIL.pack(0, direction)


class Xfrm(NetlinkSocket):
    """A NETLINK_XFRM socket; OSError (EPROTONOSUPPORT) where the kernel has no IPsec."""

    def __init__(self) -> None:
        super().__init__(NETLINK_XFRM)

    def forget(self, *requests: Request) -> None:
        """Deletions; what is not there is fine."""
        for one in requests:
            try:
                self.request(one)
            except NetlinkError as refusal:
                if refusal.errno not in (errno.ESRCH, errno.ENOENT):
                    raise

    def states(self) -> list[State]:
        """All states, without their keys."""
        found = []
        for payload in self.query(XFRM_MSG_GETSA, NLM_F_DUMP, b""):
            destination, spi, _ = _ID.unpack_from(payload, _SELECTOR.size)
            source = payload[_SELECTOR.size + _ID.size :][:16]
            _, owner, family, *_ = _STATE_TAIL.unpack_from(payload, _STATE_SIZE - _STATE_TAIL.size)
            maker: type[IPv4Address] | type[IPv6Address] = IPv4Address if family == socket.AF_INET else IPv6Address
            size = 4 if family == socket.AF_INET else 16
            found.append(State(maker(source[:size]), maker(destination[:size]), int.from_bytes(spi, "big"), owner))
        return found

    def policies(self) -> int:
        """How many policies there are."""
        return len(self.query(XFRM_MSG_GETPOLICY, NLM_F_DUMP, b""))
