"""`docker search`: Docker Hub's index, or the catalogue of another registry."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ..errors import InvalidArgument
from ..model.filters import Filters, check, flag
from ..oci.reference import DEFAULT_DOMAIN
from ..registry.config import ANONYMOUS, AuthConfig, Endpoint
from ..registry.failures import RegistryFailure, translate
from .imagehost import ImageHost

if TYPE_CHECKING:
    from ..registry.transport import Transport

_FILTERS = frozenset({"is-automated", "is-official", "stars"})
_INDEX = "https://index.docker.io"


class SearchResult(Struct, frozen=True):
    """One line; field names are those of the API."""

    name: str
    description: str = ""
    star_count: int = 0
    is_official: bool = False
    is_automated: bool = False


class _Page(Struct):
    results: list[SearchResult] = msgspec.field(default_factory=list)


class _Catalog(Struct):
    repositories: list[str] | None = None


async def search(
    host: ImageHost, term: str, *, limit: int = 25, filters: Filters | None = None,
    auth: AuthConfig = ANONYMOUS,
) -> list[SearchResult]:  # fmt: skip
    """At most `limit` repositories whose name or description has the term; `reg.example/term` asks that registry."""
    check(filters or {}, _FILTERS)
    if not 0 <= limit <= 100:
        raise InvalidArgument(f"limit {limit} is outside the range of [1, 100]")
    domain, slash, rest = term.partition("/")
    elsewhere = slash and ("." in domain or ":" in domain or domain == "localhost")
    places = [(domain, rest)] if elsewhere else [(name, term) for name in host.images.short_names.registries]
    try:
        found = [result for name, wanted in places for result in await _in(host, name, wanted, limit, auth)]
    except RegistryFailure as error:
        raise translate(error) from error
    return [result for result in found if _passes(result, filters or {})][: limit or 25]


async def _in(host: ImageHost, domain: str, term: str, limit: int, auth: AuthConfig) -> list[SearchResult]:
    if domain == DEFAULT_DOMAIN:
        return await _hub(host, term, limit, auth)
    return await host.registries.connect(domain, auth, lambda transport: _elsewhere(transport, term, limit))


async def _hub(host: ImageHost, term: str, limit: int, auth: AuthConfig) -> list[SearchResult]:
    from ..registry.transport import Transport

    once = replace(host.registries.config, max_attempts=1)  # somebody waits for the answer, and may ask again
    async with Transport(once, Endpoint(_INDEX, DEFAULT_DOMAIN), auth) as transport:
        return await _ask(transport, term, limit)


async def _ask(transport: Transport, term: str, limit: int) -> list[SearchResult]:
    query = urlencode({"q": term, "n": limit or 25})
    _, _, data = await transport.fetch("GET", f"/v1/search?{query}")
    return msgspec.json.decode(data, type=_Page).results


async def _elsewhere(transport: Transport, term: str, limit: int) -> list[SearchResult]:
    try:
        return await _ask(transport, term, limit)
    except (RegistryFailure, msgspec.MsgspecError):
        pass  # most registries have no search; the catalogue is the next best
    _, _, data = await transport.fetch("GET", "/v2/_catalog?n=1000", scope="registry:catalog:*")
    names = msgspec.json.decode(data, type=_Catalog).repositories or []
    return [SearchResult(f"{transport.endpoint.domain}/{name}") for name in names if term in name]


def _passes(result: SearchResult, filters: Filters) -> bool:
    official, automated = flag(filters, "is-official"), flag(filters, "is-automated")
    stars = filters.get("stars", ())
    if stars and not re.fullmatch("[0-9]{1,9}", stars[0]):
        raise InvalidArgument(f"invalid filter 'stars=[{stars[0]}]'")
    return (
        (official is None or result.is_official == official)
        and (automated is None or result.is_automated == automated)
        and (not stars or result.star_count >= int(stars[0]))
    )
