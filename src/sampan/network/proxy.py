"""The in-process proxy of published ports, for what address translation cannot serve.

That is: IPv6 clients of a container without IPv6, and all clients where `iptables=false`. The listening sockets are
the ones that reserve the ports; translation takes all else before it reaches them.
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from .ipam import IPAddress
from .ports import shown

Destination = tuple[IPAddress, int]
"""A container's address and port."""

BUFFER = 1 << 16
CONNECT_SECONDS = 10
UDP_IDLE_SECONDS = 90
PAUSE_SECONDS = 0.5
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
UDP_CLIENTS = 1024
"""Clients of one port that are remembered at a time; the one that was silent longest makes room."""


class Listeners:
    """Sockets that wait for clients, under one reader of the loop: the loop's own book-keeping costs 20 us for each."""

    def __init__(self) -> None:
        self._serve: dict[int, Callable[[], None]] = {}
        self._epoll: select.epoll | None = None

    def add(self, fd: int, serve: Callable[[], None]) -> None:
        """Call `serve` whenever the socket can be read."""
        if self._epoll is None:
            self._epoll = select.epoll()
            asyncio.get_running_loop().add_reader(self._epoll, self._ready)
        self._epoll.register(fd, select.EPOLLIN)
        self._serve[fd] = serve

    def remove(self, fd: int) -> None:
        """No more; a socket that was not added is fine."""
        if self._epoll is None or self._serve.pop(fd, None) is None:
            return
        self._epoll.unregister(fd)
        if not self._serve:
            asyncio.get_running_loop().remove_reader(self._epoll)
            self._epoll.close()
            self._epoll = None

    def _ready(self) -> None:
        assert self._epoll is not None
        for fd, _ in self._epoll.poll(0):
            serve = self._serve.get(fd)
            if serve is not None:
                serve()


def _towards(address: IPAddress, kind: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return socket.socket(family, kind | socket.SOCK_NONBLOCK)


class Proxy:
    """Serves one reserved socket; `close` ends it and its connections, the socket stays its owner's."""

    def __init__(self, listeners: Listeners, listening: socket.socket, protocol: str, target: Destination) -> None:
        self._listeners = listeners
        self._socket = listening
        self._fd = listening.fileno()
        self._address, self._port = target
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: dict[Any, tuple[socket.socket, asyncio.Task[None]]] = {}
        self._serve = self._datagram if protocol == "udp" else self._accept
        self._closed = False
        listeners.add(self._fd, self._serve)

    def close(self) -> None:
        """Stop serving."""
        self._closed = True
        self._listeners.remove(self._fd)
        for task in list(self._tasks):
            task.cancel()

    def _pause(self) -> None:
        """Out of descriptors: the socket stays readable, and to look again at once would be a busy loop."""
        self._listeners.remove(self._fd)
        self._loop.call_later(PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        if not self._closed:
            self._listeners.add(self._fd, self._serve)

    def _spawn(self, work: Coroutine[Any, Any, None], after: Callable[[], object]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: after())
        return task

    def _accept(self) -> None:
        try:
            client, _ = self._socket.accept()
        except OSError as error:
            if error.errno in EXHAUSTED:
                self._pause()
            return  # or gone before it was taken
        client.setblocking(False)
        self._spawn(self._relay(client), client.close)

    async def _relay(self, client: socket.socket) -> None:
        with _towards(self._address, socket.SOCK_STREAM) as server:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._loop.sock_connect(server, (shown(self._address), self._port))
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(client, server))
                    both.create_task(self._pump(server, client))
            except* (OSError, TimeoutError):
                pass  # one side broke off; closing both tells the other

    async def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        buffer = memoryview(bytearray(BUFFER))
        while size := await self._loop.sock_recv_into(source, buffer):
            await self._loop.sock_sendall(sink, buffer[:size])
        sink.shutdown(socket.SHUT_WR)

    def _datagram(self) -> None:
        try:
            data, client = self._socket.recvfrom(BUFFER)
            known = self._clients.pop(client, None) or self._new_client(client)
            self._clients[client] = known
            known[0].send(data)
        except OSError:
            return  # datagrams may be lost

    def _new_client(self, client: Any) -> tuple[socket.socket, asyncio.Task[None]]:
        if len(self._clients) >= UDP_CLIENTS:
            oldest = next(iter(self._clients))
            self._clients.pop(oldest)[1].cancel()
        server = _towards(self._address, socket.SOCK_DGRAM)
        try:
            server.connect((shown(self._address), self._port))
        except OSError:
            server.close()
            raise
        return server, self._spawn(self._answers(client, server), server.close)

    async def _answers(self, client: Any, server: socket.socket) -> None:
        try:
            while True:
                async with asyncio.timeout(UDP_IDLE_SECONDS):
                    data = await self._loop.sock_recv(server, BUFFER)
                self._socket.sendto(data, client)
        except (OSError, TimeoutError):
            known = self._clients.get(client)
            if known is not None and known[0] is server:
                del self._clients[client]
