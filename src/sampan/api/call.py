"""One API request as its handler sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from .. import __version__
from ..errors import InvalidArgument
from . import body
from .connection import Exchange
from .query import Query
from .versions import CURRENT, Version, text

if TYPE_CHECKING:
    from ..engine.engine import Engine

T = TypeVar("T", bound=Struct)

ENGINE_VERSION = f"28.5.2+sampan-{__version__}"
"""Docker's version whose behaviour is offered, with our own behind it; clients compare the former."""

encode = msgspec.json.Encoder().encode


class Call:
    """Engine, version, path and query parameters of a request, and the ways to answer it."""

    def __init__(self, engine: Engine, exchange: Exchange, version: Version, path: dict[str, str], query: str) -> None:
        self.engine = engine
        self.exchange = exchange
        self.version = version
        self.path = path
        self._query = query
        self.query = Query(query)
        self.extra: dict[str, str] = {}
        """Header fields of this answer beside those of every answer."""

    @property
    def request_headers(self) -> Mapping[str, str]:
        """Header fields, names in lower case."""
        return self.exchange.head.headers

    async def read_form(self) -> None:
        """Take what a form in the body says (`curl -d fromImage=…`) as the query's."""
        if self.request_headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            form = (await self.exchange.read()).decode("latin-1")
            self.query = Query(f"{form}&{self._query}")

    async def body(self, kind: type[T], *, optional: bool = False) -> T:
        """The JSON body as a value of that type; `optional`: an empty body is an empty object."""
        self._check_json()
        data = await self.exchange.read()
        if not data.strip():
            if optional:
                return body.convert({}, kind)
            raise InvalidArgument("invalid JSON: got EOF while reading request body")
        return body.decode(data, kind)

    def _check_json(self) -> None:
        """Docker takes a body as `application/json` only."""
        given = self.request_headers.get("content-type", "")
        if not self.exchange.has_body and not given:
            return
        media_type = given.partition(";")[0].strip().lower()
        if not media_type:
            raise InvalidArgument("malformed Content-Type header (): mime: no media type")
        if media_type != "application/json":
            raise InvalidArgument(f"unsupported Content-Type header ({media_type}): must be 'application/json'")

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        return self.exchange.body()

    # answers

    async def json(self, value: Any, status: int = 200) -> None:
        """A JSON document, with Docker's line end behind it."""
        await self.document(encode(value) + b"\n", "application/json", status)

    async def document(self, data: bytes, content_type: str, status: int = 200) -> None:
        """Any complete document."""
        await self.exchange.respond(status, {**headers(), "Content-Type": content_type}, data)

    async def empty(self, status: int = 204, extra: Mapping[str, str] | None = None) -> None:
        """An answer without a body."""
        await self.exchange.respond(status, {**headers(), **(extra or {})})

    async def stream(self, content_type: str, status: int = 200, *, watching: bool = True) -> Exchange:
        """Begin a streamed answer; its head leaves at once. `watching`: the handler ends when the client leaves."""
        self.exchange.cancellable = watching
        await self.exchange.stream(status, {**headers(), **self.extra, "Content-Type": content_type})
        return self.exchange

    async def stream_bytes(self, parts: AsyncIterator[bytes], content_type: str) -> None:
        """A streamed answer from its parts; the status is sent when the first part is there."""
        self.exchange.cancellable = True
        first = await anext(parts, b"")
        await self.stream(content_type)
        await self.exchange.write(first)
        async for part in parts:
            await self.exchange.write(part)

    async def json_lines(self, values: AsyncIterator[Any], end: bytes = b"\n") -> None:
        """A stream of JSON documents; the head leaves before the first."""
        exchange = await self.stream("application/json")
        async for value in values:
            await exchange.write(encode(value) + end)


def headers() -> dict[str, str]:
    """The header fields of every answer."""
    return {
        "Api-Version": text(CURRENT),
        "Docker-Experimental": "false",
        "Ostype": "linux",
        "Server": f"Docker/{ENGINE_VERSION} (linux)",
    }
