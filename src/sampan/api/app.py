"""The Engine API: finds a request's handler and turns its failure into Docker's error document."""

from __future__ import annotations

import asyncio
import logging
import posixpath
import re
from typing import TYPE_CHECKING, Final

import msgspec

from ..errors import NotModified, SampanError
from . import versions
from .call import Call, headers
from .connection import ClientGone, Connection, Exchange
from .router import Router
from .routes import ROUTES
from .status import status_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine.engine import Engine

log = logging.getLogger("sampan.api")

_AUTHORITY: Final = re.compile(r"^https?://[^/?]*", re.IGNORECASE)
"""What the absolute form of a request's target, that clients send to proxies, has before the path (RFC 9112, 3.2.2)."""
_VERSIONED: Final = re.compile(r"/v([0-9.]+)(/.*)")
_ROUTER: Final = Router(ROUTES)


class App:
    """Serves one engine on any number of listeners; `connection` is their protocol factory.

    `answered` is called after each request.
    """

    def __init__(self, engine: Engine, answered: Callable[[], None]) -> None:
        self.engine = engine
        self._answered = answered
        self.connections: set[Connection] = set()

    def connection(self) -> Connection:
        """The protocol of a new connection."""
        return Connection(self.handle, self.connections)

    def metrics_connection(self) -> Connection:
        """The protocol of a connection to `--metrics-addr`: it serves the figures and nothing else."""
        return Connection(self._only_metrics, self.connections)

    async def _only_metrics(self, exchange: Exchange) -> None:
        if exchange.head.target.partition("?")[0] == "/metrics":
            await self.handle(exchange)
        else:
            await exchange.respond(404, {"Content-Type": "text/plain"}, b"404 page not found\n")

    def end(self) -> None:
        """Close idle connections and streams; requests in progress are answered first."""
        for connection in list(self.connections):
            connection.end()

    def tasks(self) -> list[asyncio.Task[None]]:
        """The connections that are still being served."""
        return [connection.task for connection in self.connections if connection.task is not None]

    async def handle(self, exchange: Exchange) -> None:
        """Answer one request, whatever happens."""
        try:
            await self._dispatch(exchange)
        except ClientGone:
            raise
        except SampanError as error:
            await _fail(exchange, error)
        except Exception as error:  # the last resort: logged with its traceback, answered as a 500
            log.exception("%s %s failed", exchange.head.method, exchange.head.target)
            await _fail(exchange, SampanError(str(error) or type(error).__name__))
        finally:
            self._answered()

    async def _dispatch(self, exchange: Exchange) -> None:
        target, _, query = _AUTHORITY.sub("", exchange.head.target).partition("?")
        versioned = _VERSIONED.fullmatch(target)
        prefix, path = versioned.groups() if versioned else ("", target)
        found = _ROUTER.find(exchange.head.method, path) if path.startswith("/") else None
        if found is None:
            await _no_route(exchange, target, query)
            return
        handler, parameters = found
        version = versions.parse(prefix, self.engine.config.min_api_version) if prefix else versions.CURRENT
        await handler(Call(self.engine, exchange, version, parameters, query))


async def _no_route(exchange: Exchange, path: str, query: str) -> None:
    """Answer what no route takes; a path with empty or dot segments is sent to the plain one, as Go's routers do."""
    clean = posixpath.normpath(f"/{path.lstrip('/')}") + ("/" if path.endswith("/") and path.strip("/") else "")
    if exchange.head.method == "OPTIONS":
        await exchange.respond(200, headers())  # proxies in front ask whether anybody is there
    elif clean != path:
        await exchange.respond(301, {**headers(), "Location": f"{clean}?{query}" if query else clean})
    else:
        await exchange.respond(404, {"Content-Type": "application/json"}, b'{"message":"page not found"}\n')


async def _fail(exchange: Exchange, error: SampanError) -> None:
    if exchange.hijacked:
        return
    if exchange.started:
        exchange.abort()
        return
    if isinstance(error, NotModified):
        await exchange.respond(304, headers())
    elif isinstance(error, versions.TooOld):
        fields = {**headers(), "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
        await exchange.respond(400, fields, f"{error}\n".encode())
    else:
        body = msgspec.json.encode({"message": _text(error)}) + b"\n"
        await exchange.respond(status_of(error), {**headers(), "Content-Type": "application/json"}, body)


def _text(error: SampanError) -> str:
    """Its words, with what cannot be written as UTF-8 escaped."""
    return str(error).encode("utf-8", "backslashreplace").decode()
