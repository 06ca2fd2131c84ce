"""Lists: tags, repositories, referrers."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec
from aiohttp import web

from ...model.quantity import parse_int
from ...oci.manifest import OCI_INDEX, Index
from . import problems
from .app import Context, parse_digest, route
from .problems import Problem

_MAX_PAGE = 10_000


async def tags(context: Context) -> web.StreamResponse:
    if not context.storage.exists(context.name):
        raise problems.name_unknown(context.name)
    found, headers = _page(context, context.storage.tags(context.name))
    return web.json_response({"name": context.name, "tags": found}, headers=headers)


async def catalog(context: Context) -> web.StreamResponse:
    found, headers = _page(context, context.storage.names())
    return web.json_response({"repositories": found}, headers=headers)


def _page(context: Context, names: list[str]) -> tuple[list[str], dict[str, str]]:
    """`n` entries after `last`, and the link to the next page (distribution-spec, «Listing Tags»)."""
    last, text = context.query("last"), context.query("n")
    rest = [name for name in names if name > last] if last else names
    try:
        count = min(parse_int(text, 0), _MAX_PAGE) if text else len(rest)
    except ValueError:
        raise Problem(400, "PAGINATION_NUMBER_INVALID", "invalid number of results requested", {"n": text}) from None
    if count >= len(rest):
        return rest, {}
    shown = rest[:count]
    query = urlencode({"n": count, "last": shown[-1] if shown else last})
    return shown, {"Link": f'<{context.request.path}?{query}>; rel="next"'} if shown else {}


async def referrers(context: Context) -> web.StreamResponse:
    found = context.storage.referrers(context.name, parse_digest(context.reference))
    kind, headers = context.query("artifactType"), {}
    if kind:
        found = [entry for entry in found if entry.artifact_type == kind]
        headers["OCI-Filters-Applied"] = "artifactType"
    body = msgspec.json.encode(Index(2, found, media_type=OCI_INDEX))
    return web.Response(body=body, headers={**headers, "Content-Type": OCI_INDEX})


ROUTES = [
    route("/v2/_catalog", GET=catalog),
    route("/v2/{name}/tags/list", GET=tags),
    route("/v2/{name}/referrers/{ref}", GET=referrers),
]
