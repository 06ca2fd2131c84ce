"""The registry's HTTP API: routing, authentication, errors."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from aiohttp import web

from ...cas.threads import run_in_thread
from ...errors import InvalidArgument, SampanError
from ...oci import digest as digests
from . import page, problems
from .access import Access, Scope
from .config import ServerConfig
from .metrics import Metrics
from .problems import Problem
from .storage import RegistryStorage
from .uploads import Uploads
from .upstream import UpstreamCache

log = logging.getLogger("sampan.registry")

NAME = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_MAX_NAME = 255
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass
class Context:
    """One request: what was asked, and the parts that answer."""

    registry: Registry
    request: web.Request
    name: str = ""
    reference: str = ""

    @property
    def storage(self) -> RegistryStorage:
        return self.registry.storage

    def query(self, key: str) -> str:
        """A query parameter, empty when it is not there."""
        return self.request.query.get(key, "")


Handler = Callable[[Context], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Route:
    """A path below `/v2/`, and its handlers by method."""

    pattern: re.Pattern[str]
    handlers: dict[str, Handler]


def route(pattern: str, **handlers: Handler) -> Route:
    """`{name}` is a repository, `{ref}` one path segment."""
    expression = pattern.replace("{name}", f"(?P<name>{NAME.pattern})").replace("{ref}", "(?P<ref>[^/]+)")
    return Route(re.compile(expression), handlers)


class Registry:
    """One registry: its files, and `handle` for aiohttp's server."""

    def __init__(self, config: ServerConfig) -> None:
        from . import blobs, listings, manifests

        self.config = config
        self.storage = RegistryStorage(config.root)
        self.uploads = Uploads(self.storage)
        self.access = Access.of(config)
        self.metrics = Metrics(self.storage)
        self.upstream = UpstreamCache(config.upstream, self.storage) if config.upstream else None
        self.lock = asyncio.Lock()
        """Held while a manifest is accepted, and by garbage collection while it decides."""
        self._routes = [*blobs.ROUTES, *manifests.ROUTES, *listings.ROUTES]

    async def close(self) -> None:
        """End the transfers of the cache."""
        if self.upstream is not None:
            await self.upstream.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        started = time.monotonic()
        try:
            response = await self._dispatch(request)
        except Problem as problem:
            response = web.Response(
                status=problem.status, body=problem.body(), content_type="application/json", headers=problem.headers
            )
        except InvalidArgument as error:
            response = _failed(400, "MANIFEST_INVALID", str(error))
        except (SampanError, OSError) as error:
            log.error("%s %s: %s", request.method, request.path, error)
            response = _failed(500, "UNKNOWN", "internal error")
        self.metrics.count(request.method, response.status, time.monotonic() - started)
        return response

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path.startswith("/v2"):
            return await self._api(request, path)
        if path == "/token":
            scopes = [scope for text in request.query.getall("scope", []) for scope in text.split()]
            answer = await self.access.issue(
                request.headers.get("Authorization", ""), scopes, request.query.get("service", "")
            )
            return web.json_response(answer)
        if path == "/metrics":
            return web.Response(text=await run_in_thread(self.metrics.render), content_type="text/plain")
        if path in {"/", "/index.html"} or path.startswith("/r/"):
            return await self._page(request, path)
        raise Problem(404, "NAME_UNKNOWN", "not found")

    async def _page(self, request: web.Request, path: str) -> web.Response:
        await self.access.allow_page(request.headers.get("Authorization", ""), f"{request.scheme}://{request.host}")
        text = await run_in_thread(lambda: page.render(self.storage, path, request.host))
        return web.Response(text=text, content_type="text/html", headers=page.HEADERS)

    async def _api(self, request: web.Request, path: str) -> web.StreamResponse:
        if path in {"/v2", "/v2/"}:
            await self.allow(request, Scope())
            return web.json_response({}, headers={"Docker-Distribution-API-Version": "registry/2.0"})
        for candidate in self._routes:
            found = candidate.pattern.fullmatch(path)
            if found is not None:
                return await self._call(request, candidate, found.groupdict())
        raise problems.name_invalid(path)

    async def _call(self, request: web.Request, found: Route, parts: dict[str, str]) -> web.StreamResponse:
        handler = found.handlers.get(request.method)
        if handler is None:
            raise problems.unsupported()
        name = parts.get("name", "")
        if len(name) > _MAX_NAME:
            raise problems.name_invalid(name)
        await self.allow(request, _scope(request.method, name))
        if request.method in _WRITES and (self.config.read_only or self.upstream is not None):
            raise problems.unsupported("the registry is read-only")
        if request.method == "DELETE" and "/uploads/" not in request.path and not self.config.allow_delete:
            raise problems.unsupported("deleting is not allowed")
        return await handler(Context(self, request, name, parts.get("ref", "")))

    async def allow(self, request: web.Request, scope: Scope) -> None:
        """Return when a client may do that; raises Problem."""
        base = f"{request.scheme}://{request.host}"
        await self.access.allow(request.headers.get("Authorization", ""), scope, base)


def _scope(method: str, name: str) -> Scope:
    if not name:
        return Scope("catalog", ("*",), "registry")
    if method == "DELETE":
        return Scope(name, ("delete",))
    return Scope(name, ("push",) if method in _WRITES else ("pull",))


def _failed(status: int, code: str, message: str) -> web.Response:
    body = msgspec.json.encode({"errors": [{"code": code, "message": message, "detail": None}]})
    return web.Response(status=status, body=body, content_type="application/json")


def parse_digest(text: str) -> str:
    """A digest of the path or query; raises Problem."""
    if not digests.is_digest(text):
        raise Problem(400, "DIGEST_INVALID", "invalid digest", text)
    return text


def parse_reference(text: str) -> str:
    """A tag or a digest; raises Problem."""
    if digests.is_digest(text) or _TAG.fullmatch(text):
        return text
    raise Problem(400, "DIGEST_INVALID" if ":" in text else "TAG_INVALID", "invalid reference", text)
