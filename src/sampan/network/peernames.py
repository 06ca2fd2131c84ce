"""Names across the hosts of overlay networks: each host answers DNS questions of its peers about its own containers.

The question is `<name>.<vni>.overlay.`, asked of all peers at once; only peers are answered.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from contextlib import nullcontext
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from msgspec import Struct

from . import dnsmessage
from .dnsmessage import ANY, NXDOMAIN, Malformed
from .forwarder import Enter
from .ipam import IPAddress
from .store import Stored

if TYPE_CHECKING:
    from dnslib import DNSQuestion

ASK_SECONDS = 0.5
"""How long peers may take; one that is cut off delays a name that nobody has by that much."""
SUFFIX = "overlay"
TTL = 5

Lookup = Callable[[str, str], list[IPAddress]]
"""(network id, name) → addresses of this host's containers."""


class Shared(Struct, frozen=True):
    """One network whose names are shared with peers."""

    network_id: str
    vni: int
    port: int
    peers: tuple[IPAddress, ...]


class PeerNames:
    """The networks that are shared, and the sockets that serve them."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self.enter: Enter = nullcontext
        """The namespace that questions are asked from."""
        self._shared: dict[str, Shared] = {}
        self._sockets: dict[tuple[str, int], socket.socket] = {}

    def serve(self, stored: Stored, local: IPAddress, port: int, peers: tuple[IPAddress, ...], vni: int) -> None:
        """Answer the peers of a network on this host's address in the underlay."""
        self._shared[stored.network.id] = Shared(stored.network.id, vni, port, peers)
        place = (str(local), port)
        if place in self._sockets:
            return
        opened = socket.socket(socket.AF_INET6 if local.version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
        opened.setblocking(False)
        opened.bind(place)
        self._sockets[place] = opened
        asyncio.get_running_loop().add_reader(opened, self._on_question, opened)

    def stop(self, stored: Stored) -> None:
        """The network is gone; its socket may serve others."""
        self._shared.pop(stored.network.id, None)

    def close(self) -> None:
        """Stop serving."""
        for opened in self._sockets.values():
            asyncio.get_running_loop().remove_reader(opened)
            opened.close()
        self._sockets.clear()

    def _on_question(self, opened: socket.socket) -> None:
        try:
            message, peer = opened.recvfrom(1024)
            answer = self._answer(message, ip_address(peer[0].partition("%")[0]))
            if answer is not None:
                opened.sendto(answer, peer)
        except OSError:
            return  # a datagram may be lost

    def _answer(self, message: bytes, peer: IPv4Address | IPv6Address) -> bytes | None:
        try:
            question = dnsmessage.parse(message)
        except Malformed:
            return None
        name, _, tail = question.name.removesuffix(f".{SUFFIX}").rpartition(".")
        for shared in self._shared.values():
            if str(shared.vni) == tail and peer in shared.peers:
                found = self._lookup(shared.network_id, name)
                records = [dnsmessage.address_record(address) for address in found]
                return dnsmessage.reply(question, records, 0 if found else NXDOMAIN, ttl=TTL)
        return None

    def shares(self, network_id: str) -> bool:
        """Whether there are peers to ask."""
        shared = self._shared.get(network_id)
        return shared is not None and bool(shared.peers)

    async def ask(self, network_id: str, name: str) -> list[IPAddress]:
        """The addresses that a peer knows; empty where none does, or none answers in time."""
        shared = self._shared.get(network_id)
        if shared is None:
            return []
        number = secrets.randbelow(65536)
        asked = dnsmessage.question(f"{name}.{shared.vni}.{SUFFIX}", ANY)
        message = dnsmessage.query(asked, number)
        family = socket.AF_INET6 if any(peer.version == 6 for peer in shared.peers) else socket.AF_INET
        with self.enter():
            asking = socket.socket(family, socket.SOCK_DGRAM)
        with asking:
            asking.setblocking(False)
            waiting = {str(peer) for peer in shared.peers if _sent(asking, message, (str(peer), shared.port))}
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    return await _first(asking, waiting, number, asked)
            except TimeoutError:
                return []


def _sent(asking: socket.socket, message: bytes, place: tuple[str, int]) -> bool:
    try:
        asking.sendto(message, place)
    except OSError:
        return False  # no way to that peer now
    return True


async def _first(asking: socket.socket, waiting: set[str], number: int, asked: DNSQuestion) -> list[IPAddress]:
    loop = asyncio.get_running_loop()
    while waiting:
        answer, peer = await loop.sock_recvfrom(asking, 2048)
        if peer[0] not in waiting or not dnsmessage.answers(answer, number, asked):
            continue
        found = dnsmessage.addresses(answer)
        if found:
            return found
        waiting.discard(peer[0])
    return []
