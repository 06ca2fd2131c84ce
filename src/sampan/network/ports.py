"""Published ports: what is asked for, and host ports reserved by bound sockets.

A bound socket is the one reservation that every other program respects. No process stands behind a port: packets are
translated by the firewall (`firewall.translated`) or relayed by `proxy.Proxy` where that cannot be.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from msgspec import Struct

from ..errors import InvalidArgument, SampanError
from ..model.container import PortBinding, PortMap

IPAddress = IPv4Address | IPv6Address

ANY4, ANY6 = IPv4Address(0), IPv6Address(0)
_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_STREAM}
BACKLOG = 1024


shown = lru_cache(maxsize=256)(str)
"""An address as text: those of many ports are few."""


class PortRequest(NamedTuple):
    """One container port on one host address (None: the default ones); `first` 0 means any free port."""

    protocol: str
    port: int
    host: IPAddress | None
    first: int
    last: int

    @property
    def key(self) -> str:
        return f"{self.port}/{self.protocol}"


class Reservation(Struct):
    """A host port held on one address.

    `socket` is None where another reservation's holds it too, and for a protocol that the kernel has no sockets for.
    """

    protocol: str
    host: IPAddress
    port: int
    socket: socket.socket | None = None


def parse_port(text: str) -> tuple[int, str]:
    """`80/tcp` or `80` as (port, protocol)."""
    number, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in _TYPES:
        raise InvalidArgument(f'invalid port specification: "{text}": invalid proto: {protocol}')
    if not number.isdigit() or not 0 < int(number) < 65536:
        raise InvalidArgument(f'invalid port specification: "{text}"')
    return int(number), protocol


def _range(text: str) -> tuple[int, int]:
    if not text:
        return 0, 0
    first, dash, last = text.partition("-")
    ends = (first, last if dash else first)
    if not all(end.isdigit() and int(end) < 65536 for end in ends) or int(ends[0]) > int(ends[1]):
        raise InvalidArgument(f'invalid port specification: "{text}"')
    return int(ends[0]), int(ends[1])


def requests(bindings: PortMap, exposed: Iterable[str] = (), publish_all: bool = False) -> list[PortRequest]:
    """What `-p` and `-P` ask for, in order of the container's ports."""
    wanted = {key: list(given or ()) for key, given in bindings.items()}
    if publish_all:
        for key in exposed:
            if not wanted.get(key):
                wanted[key] = [PortBinding()]
    found = []
    for key, given in wanted.items():
        port, protocol = parse_port(key)
        for binding in given:
            found.append(PortRequest(protocol, port, _host(binding.host_ip), *_range(binding.host_port)))
    return sorted(found, key=lambda request: (request.port, request.protocol, request.first == 0))


def _host(text: str) -> IPAddress | None:
    if not text:
        return None
    try:
        return ip_address(text)
    except ValueError:
        raise InvalidArgument(f"invalid IP address: {text}") from None


def changed_bindings(bindings: PortMap, add: PortMap, remove: Iterable[str], published: PortMap) -> PortMap:
    """The bindings with some added, and those of the given host ports (`8080`, `8080/udp`) removed.

    `published` says which port was given where the choice was the engine's.
    """
    changed = {key: list(given or ()) for key, given in bindings.items()}
    for text in remove:
        port, protocol = parse_port(text)
        for key, given in changed.items():
            if key.partition("/")[2] == protocol:
                changed[key] = _without(given, port, published.get(key) or ())
    for key, new in add.items():
        changed.setdefault(key, []).extend(new or ())
    return {key: given for key, given in changed.items() if given}


def _without(bindings: list[PortBinding], port: int, published: Iterable[PortBinding]) -> list[PortBinding]:
    left = [binding for binding in bindings if binding.host_port != str(port)]
    if len(left) < len(bindings) or all(one.host_port != str(port) for one in published):
        return left
    giver = next((binding for binding in bindings if _may_give(binding, port)), None)
    return [binding for binding in bindings if binding is not giver]


def _may_give(binding: PortBinding, port: int) -> bool:
    first, last = _range(binding.host_port)
    return not first or first <= port <= last


class PortAllocator:
    """All host ports that this engine has given away in one network namespace."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int], list[IPAddress]] = {}
        self._next = 0

    def reserve(
        self, request: PortRequest, hosts: list[IPAddress], container: IPAddress, *, together: bool = False
    ) -> list[Reservation]:
        """The same port on all the addresses; of a range the first that is free.

        `together`: the addresses are any of IPv4 and any of IPv6, and one socket, that of IPv6, may hold both.
        """
        refusal: SampanError | None = None
        for port in self._candidates(request):
            try:
                return self._reserve_all(request, port, hosts, container, together)
            except SampanError as error:
                refusal = error
        raise refusal or SampanError("all ports are allocated")

    def _candidates(self, request: PortRequest) -> Iterator[int]:
        if request.first:
            yield from range(request.first, request.last + 1)
            return
        first, last = _ephemeral()
        size = last - first + 1
        for _ in range(size):
            port = first + self._next % size
            self._next += 1
            if (request.protocol, port) not in self._held:
                yield port

    def _reserve_all(
        self, request: PortRequest, port: int, hosts: list[IPAddress], container: IPAddress, together: bool
    ) -> list[Reservation]:
        for host in hosts:
            self._refuse_held(request.protocol, port, host)
        shared = _bind_together(request.protocol, port) if together else None
        made: list[Reservation] = []
        try:
            for host in hosts:
                if shared is None:
                    bound = _bind_for(request, port, host, container)
                else:
                    bound = shared if host == ANY6 else None
                self._held.setdefault((request.protocol, port), []).append(host)
                made.append(Reservation(request.protocol, host, port, bound))
        except BaseException:
            self.release(made)
            raise
        return made

    def _refuse_held(self, protocol: str, port: int, host: IPAddress) -> None:
        for other in self._held.get((protocol, port), ()):
            if other == host or (other.version == host.version and (other.is_unspecified or host.is_unspecified)):
                raise SampanError(f"Bind for {_place(host, port)} failed: port is already allocated")

    def release(self, reservations: Iterable[Reservation]) -> None:
        """Free the ports and close their sockets."""
        for reservation in reservations:
            key = (reservation.protocol, reservation.port)
            holders = self._held.get(key, [])
            if reservation.host in holders:
                holders.remove(reservation.host)
            if not holders:
                self._held.pop(key, None)
            if reservation.socket is not None:
                reservation.socket.close()
                reservation.socket = None


def _place(address: IPAddress, port: int) -> str:
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


def _bind_for(request: PortRequest, port: int, host: IPAddress, container: IPAddress) -> socket.socket | None:
    try:
        return bind(request.protocol, host, port)
    except OSError as error:
        label = f"{_place(host, port)}:{_place(container, request.port)}/{request.protocol}"
        reason = os.strerror(error.errno or 0).lower()
        raise SampanError(f"failed to bind host port for {label}: {reason}") from error


def _bind_together(protocol: str, port: int) -> socket.socket | None:
    """One socket for IPv4 and IPv6; None where that cannot be: which of them fails is seen when each has its own."""
    try:
        return bind(protocol, ANY6, port, together=True)
    except OSError:
        return None


def bind(protocol: str, host: IPAddress, port: int, *, together: bool = False) -> socket.socket | None:
    """A socket that holds the port, listening where it is a stream; None where the kernel lacks the protocol.

    One of IPv6 holds it for IPv4 too, if `together`.
    """
    family = socket.AF_INET if host.version == 4 else socket.AF_INET6
    number = socket.IPPROTO_SCTP if protocol == "sctp" else 0
    try:
        bound = socket.socket(family, _TYPES[protocol] | socket.SOCK_NONBLOCK, number)
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EAFNOSUPPORT):
            return None
        raise
    try:
        if protocol != "udp":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not together)
        bound.bind((shown(host), port))
        if protocol != "udp":
            bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def _ephemeral() -> tuple[int, int]:
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        first, last = file.read().split()
    return int(first), int(last)
