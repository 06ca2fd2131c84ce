"""One repository of a registry (OCI distribution-spec 1.1): manifests, blobs, tags, uploads."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin

import msgspec
from msgspec import Struct

from ..errors import DataLoss, SampanError
from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci.manifest import Descriptor
from .failures import RegistryFailure

if TYPE_CHECKING:
    from .transport import Body, Transport

_ACCEPT = ", ".join(
    [manifests.DOCKER_MANIFEST, manifests.DOCKER_LIST, manifests.OCI_INDEX, manifests.OCI_MANIFEST, "*/*;q=0.1"]
)


class RemoteManifest(Struct, frozen=True):
    """A manifest or index as the registry sent it, verified against `descriptor`."""

    data: bytes
    descriptor: Descriptor


class UploadSession(Struct, frozen=True):
    """An upload under way: where to send the next bytes, and how many the registry has."""

    location: str
    offset: int


class Repository:
    """Requests about one repository, e.g. `library/busybox`."""

    def __init__(self, transport: Transport, path: str) -> None:
        self.transport = transport
        self.path = path
        self._base = f"/v2/{path}"
        self._pull = f"repository:{path}:pull"
        self._push = f"repository:{path}:pull,push"

    async def manifest(self, reference: str) -> RemoteManifest:
        """By tag or digest; raises RegistryFailure, DataLoss when the bytes are not those of the digest."""
        headers = {"Accept": _ACCEPT}
        _, fields, data = await self.transport.fetch(
            "GET", f"{self._base}/manifests/{reference}", scope=self._pull, headers=headers
        )
        if len(data) > manifests.MAX_MANIFEST_SIZE:
            raise SampanError(f"manifest {reference} is larger than {manifests.MAX_MANIFEST_SIZE} bytes")
        wanted = reference if digests.is_digest(reference) else fields.get("Docker-Content-Digest", "")
        actual = _digest_like(wanted, data)
        if wanted and actual != wanted:
            raise DataLoss(f"manifest verification failed for digest {wanted}")
        media_type = fields.get("Content-Type", "").partition(";")[0].strip()
        return RemoteManifest(data, Descriptor(media_type, actual, len(data)))

    async def put_manifest(self, reference: str, data: bytes, media_type: str) -> str:
        """Push a manifest by tag or digest; returns its digest."""
        await self.transport.fetch(
            "PUT", f"{self._base}/manifests/{reference}", scope=self._push,
            headers={"Content-Type": media_type}, body=lambda: _once(data), accept=frozenset({200, 201, 202}),
        )  # fmt: skip
        return digests.of_bytes(data)

    async def delete_manifest(self, reference: str) -> None:
        """Delete a manifest by digest, or a tag."""
        scope = f"repository:{self.path}:delete"
        path = f"{self._base}/manifests/{reference}"
        await self.transport.fetch("DELETE", path, scope=scope, accept=frozenset({200, 202}))

    async def tags(self) -> list[str]:
        """Every tag, page by page."""
        found: list[str] = []
        path: str | None = f"{self._base}/tags/list?n=1000"
        while path is not None:
            _, fields, data = await self.transport.fetch("GET", path, scope=self._pull)
            page = msgspec.json.decode(data, type=_Tags)
            found += page.tags or []
            path = _next_link(self.transport.endpoint.url + path if path.startswith("/") else path, fields)
        return found

    async def referrers(self, digest: str) -> bytes:
        """The index of what refers to a manifest."""
        _, _, data = await self.transport.fetch("GET", f"{self._base}/referrers/{digest}", scope=self._pull)
        return data

    async def blob(self, descriptor: Descriptor, limit: int) -> bytes:
        """A small blob, verified."""
        if descriptor.size > limit:
            raise SampanError(f"blob {descriptor.digest} is larger than {limit} bytes")
        _, _, data = await self.transport.fetch("GET", f"{self._base}/blobs/{descriptor.digest}", scope=self._pull)
        if _digest_like(descriptor.digest, data) != descriptor.digest:
            raise DataLoss(f"filesystem layer verification failed for digest {descriptor.digest}")
        return data

    @asynccontextmanager
    async def open_blob(self, digest: str, offset: int) -> AsyncIterator[tuple[AsyncIterator[bytes], int]]:
        """The body of a blob from `offset`, and where it really begins: 0 when the registry serves no ranges."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with self.transport.request(
            "GET", f"{self._base}/blobs/{digest}", scope=self._pull, headers=headers, accept=frozenset({200, 206})
        ) as response:
            start = _range_start(response.headers, offset) if response.status == 206 else 0
            yield self.transport.chunks(response), start

    async def has_blob(self, digest: str) -> bool:
        """Whether the repository holds a blob."""
        status, _, _ = await self.transport.fetch(
            "HEAD", f"{self._base}/blobs/{digest}", scope=self._push, accept=frozenset({200, 404})
        )
        return status == 200

    async def mount(self, digest: str, source: str) -> UploadSession | None:
        """Mount a blob of another repository of the registry; None when that worked, else an upload that was begun."""
        scope = f"{self._push} repository:{source}:pull"
        path = f"{self._base}/blobs/uploads/?mount={digest}&from={quote(source, safe='/')}"
        try:
            status, fields, _ = await self.transport.fetch("POST", path, scope=scope, accept=frozenset({201, 202}))
        except RegistryFailure as error:
            if error.transient:
                raise
            return await self.start_upload()
        return None if status == 201 else self._session(path, fields)

    async def start_upload(self) -> UploadSession:
        """Begin an upload."""
        path = f"{self._base}/blobs/uploads/"
        _, fields, _ = await self.transport.fetch("POST", path, scope=self._push, accept=frozenset({202}))
        return self._session(path, fields)

    async def upload_status(self, location: str) -> UploadSession:
        """How far an upload has come, after it broke off."""
        _, fields, _ = await self.transport.fetch("GET", location, scope=self._push, accept=frozenset({200, 202, 204}))
        return self._session(location, fields)

    async def send_chunk(self, session: UploadSession, body: Body, size: int) -> UploadSession:
        """PATCH `size` more bytes."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size),
            "Content-Range": f"{session.offset}-{session.offset + size - 1}",
        }
        async with self.transport.request(
            "PATCH", session.location, scope=self._push, headers=headers, body=body, accept=frozenset({202, 204})
        ) as response:
            return UploadSession(self._location(session.location, response.headers), session.offset + size)

    async def finish_upload(self, session: UploadSession, digest: str) -> None:
        """Close the upload; the registry verifies the digest."""
        joiner = "&" if "?" in session.location else "?"
        url = f"{session.location}{joiner}digest={quote(digest, safe='')}"
        headers = {"Content-Length": "0"}
        await self.transport.fetch("PUT", url, scope=self._push, headers=headers, accept=frozenset({201, 204}))

    async def cancel_upload(self, session: UploadSession) -> None:
        """Give an upload up."""
        await self.transport.fetch("DELETE", session.location, scope=self._push, accept=frozenset({200, 204, 404}))

    def _session(self, path: str, fields: Mapping[str, str]) -> UploadSession:
        return UploadSession(self._location(path, fields), _uploaded(fields))

    def _location(self, path: str, fields: Mapping[str, str]) -> str:
        base = path if "://" in path else self.transport.endpoint.url + path
        location = fields.get("Location", "")
        return urljoin(base, location) if location else base


class _Tags(msgspec.Struct):
    tags: list[str] | None = None


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _digest_like(wanted: str, data: bytes) -> str:
    """The digest of `data` by the algorithm of `wanted`."""
    import hashlib

    algorithm = digests.algorithm(wanted) if digests.is_digest(wanted) else "sha256"
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def _range_start(fields: Mapping[str, str], asked: int) -> int:
    found = re.match(r"bytes ([0-9]+)-", fields.get("Content-Range", ""))
    return int(found[1]) if found else asked


def _uploaded(fields: Mapping[str, str]) -> int:
    """Bytes that the registry has: `Range: 0-N` is inclusive; `0-0` right after the start means none."""
    found = re.fullmatch(r"(?:bytes=)?0-([0-9]+)", fields.get("Range", ""))
    return int(found[1]) + 1 if found and int(found[1]) else 0


def _next_link(url: str, fields: Mapping[str, str]) -> str | None:
    """The target of `Link: <…>; rel="next"` (RFC 8288)."""
    found = re.match(r'\s*<([^>]*)>\s*;\s*rel="?next"?', fields.get("Link", ""))
    return urljoin(url, found[1]) if found else None
