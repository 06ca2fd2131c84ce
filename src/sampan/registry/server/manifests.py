"""Manifests: pull, push, delete; none is accepted before all its parts are there."""

from __future__ import annotations

import hashlib

from aiohttp import web

from ...oci import digest as digests
from ...oci import manifest as manifests
from ...oci.manifest import Index, Manifest
from . import problems
from .app import Context, parse_reference, route
from .collection import parts
from .problems import Problem


async def get_manifest(context: Context) -> web.StreamResponse:
    reference = parse_reference(context.reference)
    if context.registry.upstream is not None:
        await context.registry.upstream.refresh(context.name, reference)
    digest = context.storage.resolve(context.name, reference)
    kept = context.storage.manifest(context.name, digest) if digest else None
    if kept is None or digest is None:
        raise problems.manifest_unknown(reference)
    data, media_type = kept
    headers = {"Docker-Content-Digest": digest, "ETag": f'"{digest}"', "Content-Type": media_type}
    if context.request.headers.get("If-None-Match", "").strip('"') == digest:
        return web.Response(status=304, headers=headers)
    if context.request.method == "HEAD":
        return web.Response(headers={**headers, "Content-Length": str(len(data))})
    return web.Response(body=data, headers=headers)


async def put_manifest(context: Context) -> web.StreamResponse:
    reference = parse_reference(context.reference)
    data = await _body(context)
    media_type = context.request.headers.get("Content-Type", "").partition(";")[0].strip()
    document = manifests.parse(data, media_type)
    media_type = media_type or manifests.media_type_of(document)
    algorithm = digests.algorithm(reference) if digests.is_digest(reference) else "sha256"
    digest = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    if digests.is_digest(reference) and digest != reference:
        raise problems.digest_invalid(f"content is {digest}")
    async with context.registry.lock:
        _check_parts(context, data, media_type, document)
        context.storage.put_manifest(context.name, data, digest, document, media_type)
        if reference != digest:
            context.storage.put_tag(context.name, reference, digest)
    headers = {"Location": f"/v2/{context.name}/manifests/{digest}", "Docker-Content-Digest": digest}
    if document.subject is not None:
        headers["OCI-Subject"] = document.subject.digest
    return web.Response(status=201, headers=headers)


async def _body(context: Context) -> bytes:
    limit = context.registry.config.max_manifest_size
    data = bytearray()
    async for chunk in context.request.content.iter_any():
        data += chunk
        if len(data) > limit:
            raise Problem(413, "SIZE_INVALID", f"manifest is larger than {limit} bytes")
    return bytes(data)


def _check_parts(context: Context, data: bytes, media_type: str, document: Manifest | Index) -> None:
    storage, name = context.storage, context.name
    for digest in parts(data, media_type):
        if isinstance(document, Index):
            # BuildKit's older caches list layers in an index (cache/remotecache/export.go)
            if storage.resolve(name, digest) is None and not storage.has_blob(name, digest):
                raise Problem(404, "MANIFEST_BLOB_UNKNOWN", "manifest of the index is unknown", {"digest": digest})
        elif not storage.has_blob(name, digest):
            raise Problem(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", {"digest": digest})


async def delete_manifest(context: Context) -> web.StreamResponse:
    reference = parse_reference(context.reference)
    async with context.registry.lock:
        if digests.is_digest(reference):
            found = context.storage.delete_manifest(context.name, reference)
        else:
            found = context.storage.delete_tag(context.name, reference)
    if not found:
        raise problems.manifest_unknown(reference)
    return web.Response(status=202)


ROUTES = [
    route("/v2/{name}/manifests/{ref}", GET=get_manifest, HEAD=get_manifest, PUT=put_manifest, DELETE=delete_manifest),
]
