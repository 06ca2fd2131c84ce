"""BuildKit's gRPC within the Engine API: `POST /grpc` and `POST /session`, which buildx uses."""

from __future__ import annotations

from ..buildkit.services import services
from ..buildkit.sessions import Exposed, sessions_of
from ..buildkit.transport import Link, serve
from ..errors import InvalidArgument
from .call import Call

_UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


async def grpc(call: Call) -> None:
    """The client calls our services."""
    _check(call)
    await serve(services(call.engine), lambda link: _adopt(call, link))


async def session(call: Call) -> None:
    """We call the client's services for as long as the connection lasts."""
    _check(call)
    await sessions_of(call.engine).serve(Exposed.of(call.request_headers), lambda link: _adopt(call, link))


def _check(call: Call) -> None:
    protocol = call.exchange.head.upgrade
    if not protocol:
        raise InvalidArgument("no upgrade proto in request")
    if protocol != "h2c":
        raise InvalidArgument(f"protocol {protocol} not supported")


async def _adopt(call: Call, link: Link) -> None:
    call.exchange.cancellable = True  # the daemon's end ends it
    transport = await call.exchange.hijack(_UPGRADED, link)
    connection = call.exchange.connection
    early = bytes(connection.buffer)
    connection.buffer.clear()
    link.begin(transport, early)
    if connection.eof:  # asyncio tells it once, and told the HTTP connection
        link.close()
