"""What buildx is on the wire: calls through `POST /grpc`, a session that offers services through `POST /session`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from grpclib.client import Channel

from sampan.api.app import App
from sampan.buildkit.proto.session_pb2 import BytesMessage
from sampan.buildkit.transport import Calls, Link, Service, client_link, serve

Connect = Callable[[], Awaitable[socket.socket]]
Fields = Iterable[tuple[str, str]]


def to_app(app: App) -> Connect:
    """Connections to an API in this process."""

    async def connect() -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(app.connection, sock=theirs)
        return ours

    return connect


def to_socket(path: str) -> Connect:
    """Connections to a daemon."""

    async def connect() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, path)
        return sock

    return connect


class Refused(Exception):
    """The status line of an answer that is no 101."""


async def upgraded(
    connect: Connect, path: str, fields: Iterable[tuple[str, str]] = (), protocol: str = "h2c"
) -> socket.socket:
    """A connection after its 101."""
    sock, loop = await connect(), asyncio.get_running_loop()
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    upgrade = f"Connection: Upgrade\r\nUpgrade: {protocol}\r\n" if protocol else ""
    await loop.sock_sendall(sock, f"POST {path} HTTP/1.1\r\nHost: d\r\n{upgrade}{lines}\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = await loop.sock_recv(sock, 1)  # not an octet of what follows
        assert part, head
        head += part
    if not head.startswith(b"HTTP/1.1 101 "):
        sock.close()
        raise Refused(head.decode().partition("\r\n")[0])
    return sock


async def _join(sock: socket.socket, link: Link) -> None:
    await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=sock)


@asynccontextmanager
async def calls(connect: Connect) -> AsyncIterator[Channel]:
    """A channel to the daemon's services."""
    link = client_link()
    await _join(await upgraded(connect, "/grpc"), link)
    channel = Calls(link)
    try:
        yield channel
    finally:
        channel.close()


def exposed(identity: str, services: Iterable[Service], **more: str) -> list[tuple[str, str]]:
    """The header fields of a session."""
    methods = [path for service in services for path in service.__mapping__()]
    fields = {"uuid": identity, "name": "test", "sharedkey": "shared", **more}
    return [
        *((f"X-Docker-Expose-Session-{name}", value) for name, value in fields.items()),
        *(("X-Docker-Expose-Session-Grpc-Method", method) for method in methods),
    ]


@asynccontextmanager
async def session(
    connect: Connect, identity: str, services: Iterable[Service], **more: str
) -> AsyncIterator[asyncio.Task[None]]:
    """Offer services; the connection ends with the block, or when the task that it gives is cancelled."""
    offered = list(services)
    sock = await upgraded(connect, "/session", exposed(identity, offered, **more))
    began = asyncio.Event()

    async def adopt(link: Link) -> None:
        await _join(sock, link)
        began.set()

    task = asyncio.ensure_future(serve(offered, adopt))
    await began.wait()
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def tunnelled(stream: Any, services: Iterable[Service]) -> AsyncIterator[None]:
    """Offer services within a stream of Control/Session."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    serving = asyncio.ensure_future(serve(services, lambda link: _join(theirs, link)))

    async def inward() -> None:
        async for message in stream:
            writer.write(message.data)
            await writer.drain()

    async def outward() -> None:
        while data := await reader.read(1 << 15):
            await stream.send_message(BytesMessage(data=data))

    pumps = [asyncio.ensure_future(inward()), asyncio.ensure_future(outward())]
    try:
        yield
    finally:
        for pump in pumps:
            pump.cancel()
        writer.close()
        await asyncio.gather(*pumps, serving, return_exceptions=True)


async def linked(services: Iterable[Service]) -> tuple[Link, asyncio.Task[None]]:
    """Services alone, without an API around them: the client's link to them, and their task."""
    ours, theirs = socket.socketpair()
    serving = asyncio.ensure_future(serve(services, lambda link: _join(theirs, link)))
    link = client_link()
    await _join(ours, link)
    return link, serving
