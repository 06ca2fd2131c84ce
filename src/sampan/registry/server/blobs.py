"""Blobs: pull with ranges, push in one piece, in chunks, or by mounting."""

from __future__ import annotations

import os
import re

from aiohttp import web

from . import problems
from .access import Scope
from .app import NAME, Context, parse_digest, route
from .problems import Problem

_RANGE = re.compile(r"(?:bytes )?([0-9]{1,19})-([0-9]{1,19})(?:/.*)?")


def _blob_headers(digest: str) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
        "Cache-Control": "max-age=31536000",
        "Accept-Ranges": "bytes",
    }


async def get_blob(context: Context) -> web.StreamResponse:
    digest = parse_digest(context.reference)
    registry = context.registry
    if not context.storage.has_blob(context.name, digest):
        if registry.upstream is None:
            raise problems.blob_unknown(digest)
        return await registry.upstream.blob(context.request, context.name, digest)
    path = context.storage.store.path(digest)
    size = os.stat(path).st_size
    if context.request.method == "HEAD":
        return web.Response(headers={**_blob_headers(digest), "Content-Length": str(size)})
    registry.metrics.bytes_sent += size
    # FileResponse serves ranges and conditions (RFC 9110 §14), through sendfile where the connection is plain.
    return web.FileResponse(path, headers=_blob_headers(digest))


async def delete_blob(context: Context) -> web.StreamResponse:
    digest = parse_digest(context.reference)
    if not context.storage.unlink_blob(context.name, digest):
        raise problems.blob_unknown(digest)
    return web.Response(status=202)


async def start_upload(context: Context) -> web.StreamResponse:
    mount, digest = context.query("mount"), context.query("digest")
    if mount and await _mount(context, parse_digest(mount), context.query("from")):
        return _created(context, mount)
    upload = context.registry.uploads.start()
    if digest:
        parse_digest(digest)
        await _append(context, upload)
        await context.registry.uploads.finish(upload, context.name, digest)
        return _created(context, digest)
    return _accepted(context, upload, 0, 202)


async def _mount(context: Context, digest: str, source: str) -> bool:
    """From the repository that the client names and may pull from; without one, from anywhere where all may pull."""
    storage, registry = context.storage, context.registry
    if (source and not NAME.fullmatch(source)) or (not source and registry.config.token is not None):
        return False
    try:
        await registry.allow(context.request, Scope(source, ("pull",)))
    except Problem:
        return False  # as if it were not there: an upload begins
    holds = storage.has_blob(source, digest) if source else storage.store.exists(digest)
    if holds:
        storage.link_blob(context.name, digest)
    return holds


async def upload_status(context: Context) -> web.StreamResponse:
    size = context.registry.uploads.size(context.reference)
    return _accepted(context, context.reference, size, 204)


async def patch_upload(context: Context) -> web.StreamResponse:
    upload = context.reference
    _check_range(context, upload)
    size = await _append(context, upload)
    return _accepted(context, upload, size, 202)


async def finish_upload(context: Context) -> web.StreamResponse:
    upload, digest = context.reference, parse_digest(context.query("digest"))
    if context.request.body_exists:
        _check_range(context, upload)
        await _append(context, upload)
    await context.registry.uploads.finish(upload, context.name, digest)
    return _created(context, digest)


async def cancel_upload(context: Context) -> web.StreamResponse:
    context.registry.uploads.cancel(context.reference)
    return web.Response(status=204)


async def _append(context: Context, upload: str) -> int:
    before = context.registry.uploads.size(upload)
    size = await context.registry.uploads.append(upload, context.request.content.iter_any())
    context.registry.metrics.bytes_received += size - before
    return size


def _check_range(context: Context, upload: str) -> None:
    """Chunks come in order (distribution-spec, «Pushing a blob in chunks»)."""
    size = context.registry.uploads.size(upload)
    found = _RANGE.fullmatch(context.request.headers.get("Content-Range", ""))
    if found is None:
        return
    length = context.request.content_length
    if int(found[1]) != size or (length is not None and int(found[2]) - int(found[1]) + 1 != length):
        raise Problem(
            416, "BLOB_UPLOAD_INVALID", "chunk is out of order", Range=f"0-{max(0, size - 1)}",
            Location=f"/v2/{context.name}/blobs/uploads/{upload}",
        )  # fmt: skip


def _created(context: Context, digest: str) -> web.Response:
    location = f"/v2/{context.name}/blobs/{digest}"
    return web.Response(status=201, headers={"Location": location, "Docker-Content-Digest": digest})


def _accepted(context: Context, upload: str, size: int, status: int) -> web.Response:
    headers = {
        "Location": f"/v2/{context.name}/blobs/uploads/{upload}",
        "Range": f"0-{max(0, size - 1)}",
        "Docker-Upload-UUID": upload,
    }
    return web.Response(status=status, headers=headers)


ROUTES = [
    route("/v2/{name}/blobs/uploads/?", POST=start_upload),
    route("/v2/{name}/blobs/uploads/{ref}", GET=upload_status, PATCH=patch_upload, PUT=finish_upload,
          DELETE=cancel_upload),
    route("/v2/{name}/blobs/{ref}", GET=get_blob, HEAD=get_blob, DELETE=delete_blob),
]  # fmt: skip
