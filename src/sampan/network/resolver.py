"""The embedded DNS server of one container: 127.0.0.11, in the container's own network namespace.

Its sockets sit on ports that the kernel chose; stateless nftables rules in the container's namespace put port 53 in
front of them, so that the container's own programs may listen on every port 53 of theirs.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Coroutine
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Protocol

from ..linux import nft
from ..linux.nfnetlink import NFPROTO_IPV4, Request
from ..linux.nft import NETWORK_HEADER, TRANSPORT_HEADER, Chain, Nftables, Table, compare, meta, payload
from . import dnsmessage
from .dnsmessage import AAAA, ANY, NXDOMAIN, PTR, SERVFAIL, A, Malformed, Question
from .files import RESOLVER
from .forwarder import Forwarder
from .netns import Namespaces
from .proxy import EXHAUSTED, PAUSE_SECONDS

TTL = 5
"""Seconds; short, for containers come and go."""
BURST = 64
"""Datagrams that are read from one container before others have their turn."""
IDLE_SECONDS = 10.0
MAX_STREAMS = 64

IPAddress = IPv4Address | IPv6Address


class Zone(Protocol):
    """What one container may see."""

    def addresses(self, name: str) -> list[IPAddress] | None:
        """The addresses of a name; None where the name is not ours."""

    def name(self, address: IPAddress) -> str | None:
        """The name of an address; "" where the address is ours but has none, None where it is not ours."""

    def asks_peers(self, name: str) -> bool:
        """Whether hosts of an overlay network may know the name."""

    async def remote(self, name: str) -> list[IPAddress]:
        """The addresses that a peer knows."""

    def forwarder(self) -> Forwarder | None:
        """Who asks outside; None on internal networks."""


class Resolver:
    """Serves one container until `close`."""

    def __init__(self, namespaces: Namespaces, netns_fd: int, zone: Zone) -> None:
        self._zone = zone
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams = 0
        self._loop.run_in_executor(None, dnsmessage.load)
        with namespaces.inside(netns_fd):
            self._datagrams, self._listening = _open()
        self._loop.add_reader(self._datagrams, self._on_datagrams)
        self._loop.add_reader(self._listening, self._on_stream)

    def close(self) -> None:
        """Stop serving; the namespace is no longer held."""
        for one in (self._datagrams, self._listening):
            self._loop.remove_reader(one)
            one.close()
        for task in list(self._tasks):
            task.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _on_datagrams(self) -> None:
        for _ in range(BURST):
            try:
                message, client = self._datagrams.recvfrom(4096)
            except OSError:
                return  # none left, or an ICMP error of an earlier answer
            self._datagram(message, client)

    def _datagram(self, message: bytes, client: Any) -> None:
        try:
            question = dnsmessage.parse(message)
            answer = self.local(question, stream=False)
        except Malformed as fault:
            answer = fault.reply
            if answer is None:
                return
        if answer is not None:
            self._send(answer, client)
        else:
            self._spawn(self._forward(message, question, client))

    async def _forward(self, message: bytes, question: Question, client: Any) -> None:
        self._send(await self._elsewhere(message, question, stream=False), client)

    async def _elsewhere(self, message: bytes, question: Question, *, stream: bool) -> bytes:
        """The answer of another host of an overlay network, or of the world outside."""
        if question.kind != PTR and self._zone.asks_peers(question.name):
            found = await self._zone.remote(question.name)
            if found:
                return _addresses(question, found, stream)
        forwarder = self._zone.forwarder()
        if forwarder is None:
            return dnsmessage.reply(question, code=SERVFAIL, stream=stream)
        return await forwarder.ask(message, question, stream=stream)

    def _send(self, answer: bytes, client: Any) -> None:
        try:
            self._datagrams.sendto(answer, client)
        except OSError:
            pass  # a datagram may be lost; the client asks again

    def local(self, question: Question, *, stream: bool) -> bytes | None:
        """The answer that needs nobody else, or None."""
        if question.kind == PTR:
            return self._reverse(question, stream)
        found = self._zone.addresses(question.name)
        if found is not None:
            return _addresses(question, found, stream)
        return self._not_ours(question, stream)

    def _reverse(self, question: Question, stream: bool) -> bytes | None:
        address = dnsmessage.reverse_address(question.name)
        name = self._zone.name(address) if address is not None else None
        if name is None:
            return self._not_ours(question, stream)
        records = [dnsmessage.name_record(name)] if name else []
        return dnsmessage.reply(question, records, 0 if name else NXDOMAIN, ttl=TTL, stream=stream)

    def _not_ours(self, question: Question, stream: bool) -> bytes | None:
        if self._zone.forwarder() is None and not self._zone.asks_peers(question.name):
            return dnsmessage.reply(question, code=SERVFAIL, stream=stream)
        return None

    def _on_stream(self) -> None:
        try:
            client, _ = self._listening.accept()
        except OSError as error:
            if error.errno in EXHAUSTED:
                self._loop.remove_reader(self._listening)
                self._loop.call_later(PAUSE_SECONDS, self._listen_again)
            return
        if self._streams >= MAX_STREAMS:
            client.close()
            return
        client.setblocking(False)
        self._streams += 1
        self._spawn(self._serve(client))

    def _listen_again(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening, self._on_stream)

    async def _serve(self, client: socket.socket) -> None:
        # RFC 7766: several questions may come over one connection.
        try:
            with client:
                while True:
                    async with asyncio.timeout(IDLE_SECONDS):
                        size = int.from_bytes(await self._exactly(client, 2), "big")
                        message = await self._exactly(client, size)
                    answer = await self._answer(message)
                    async with asyncio.timeout(IDLE_SECONDS):
                        await self._loop.sock_sendall(client, len(answer).to_bytes(2, "big") + answer)
        except (OSError, EOFError, TimeoutError, Malformed):
            return
        finally:
            self._streams -= 1

    async def _exactly(self, client: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = await self._loop.sock_recv(client, size - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    async def _answer(self, message: bytes) -> bytes:
        question = dnsmessage.parse(message)
        return self.local(question, stream=True) or await self._elsewhere(message, question, stream=True)


def _addresses(question: Question, found: list[IPAddress], stream: bool) -> bytes:
    versions = {A: (4,), AAAA: (6,), ANY: (4, 6)}.get(question.kind, ())
    fitting = [one for one in found if one.version in versions]
    return dnsmessage.reply_with(question, fitting, ttl=TTL, stream=stream)


def _open() -> tuple[socket.socket, socket.socket]:
    datagrams, listening = _bound(socket.SOCK_DGRAM, 0), _bound(socket.SOCK_STREAM, 0)
    try:
        redirect(datagrams.getsockname()[1], listening.getsockname()[1])
    except OSError:
        # Without nftables the container has to share its port 53 with us.
        datagrams.close()
        listening.close()
        return _bound(socket.SOCK_DGRAM, 53), _bound(socket.SOCK_STREAM, 53)
    return datagrams, listening


def _bound(kind: int, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET, kind)
    try:
        opened.setblocking(False)
        opened.bind((RESOLVER, port))
        if kind == socket.SOCK_STREAM:
            opened.listen(MAX_STREAMS)
    except OSError:
        opened.close()
        raise
    return opened


_TABLE = Table("sampan-resolver", NFPROTO_IPV4)
_ADDRESS = IPv4Address(RESOLVER).packed
_CHECKSUM_OFFSET = {socket.IPPROTO_TCP: 16, socket.IPPROTO_UDP: 6}


def redirect(datagram_port: int, stream_port: int) -> None:
    """In the namespace that the thread is in: port 53 of 127.0.0.11 is these ports; an earlier redirection goes."""
    loaded = Nftables()
    try:
        chain = Chain("output", "filter", nft.NF_INET_LOCAL_OUT, nft.NF_IP_PRI_RAW)
        requests = [_TABLE.add(), _TABLE.add_chain(chain), _TABLE.flush_chain("output")]
        for protocol, port in ((socket.IPPROTO_UDP, datagram_port), (socket.IPPROTO_TCP, stream_port)):
            there = (16, 2, struct.pack(">H", 53), struct.pack(">H", port))
            back = (12, 0, struct.pack(">H", port), struct.pack(">H", 53))
            requests += [_rewrite(protocol, *there), _rewrite(protocol, *back)]
        loaded.batch(requests)
    finally:
        loaded.close()


def _rewrite(protocol: int, address_offset: int, port_offset: int, old: bytes, new: bytes) -> Request:
    return _TABLE.add_rule(
        "output",
        meta(nft.META_L4PROTO),
        compare(bytes((protocol,))),
        payload(NETWORK_HEADER, address_offset, 4),
        compare(_ADDRESS),
        payload(TRANSPORT_HEADER, port_offset, 2),
        compare(old),
        nft.load(new),
        nft.payload_set(TRANSPORT_HEADER, port_offset, 2, _CHECKSUM_OFFSET[protocol]),
    )
