"""Pull-through cache: what is missing is fetched from the registry behind, kept, and passed on while it arrives."""

from __future__ import annotations

import asyncio
import logging
import time

from aiohttp import web

from ...cas.compression import CHUNK
from ...cas.threads import run_in_thread
from ...errors import SampanError
from ...oci import digest as digests
from ...oci import manifest as manifests
from ...oci.manifest import Descriptor, Manifest
from ..config import Endpoint, RegistryConfig
from ..download import Download, DownloadReader
from ..failures import RegistryFailure
from ..repository import RemoteManifest, Repository
from ..shared import KeyedLocks
from ..transport import Transport
from . import problems
from .config import Upstream
from .storage import RegistryStorage

log = logging.getLogger("sampan.registry")
_SLOTS = 16


class UpstreamCache:
    """The registry behind, seen through our files."""

    def __init__(self, upstream: Upstream, storage: RegistryStorage) -> None:
        self._upstream = upstream
        self._storage = storage
        domain = upstream.url.partition("://")[2].partition("/")[0]
        endpoint = Endpoint(upstream.url.rstrip("/"), domain)
        # Few tries: what is here already must not wait long for a registry that is gone, and clients try again too.
        config = RegistryConfig(max_attempts=2, retry_delay=0.1, connect_timeout=10)
        self._transport = Transport(config, endpoint, upstream.auth)
        self._slots = asyncio.Semaphore(_SLOTS)
        self._locks = KeyedLocks()
        self._checked: dict[str, float] = {}
        self._sizes: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End all transfers; they are resumed when asked for again."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._transport.__aexit__()

    async def refresh(self, name: str, reference: str) -> None:
        """Bring a manifest up to date; with the registry behind out of reach, what is here has to do."""
        key = f"{name}:{reference}"
        fixed = digests.is_digest(reference) and self._storage.resolve(name, reference) is not None
        if fixed or self._checked.get(key, 0) > time.monotonic():
            return
        repository = Repository(self._transport, name)
        try:
            found = await repository.manifest(reference)
        except RegistryFailure as error:
            if error.status == 404:
                raise problems.manifest_unknown(reference) from error
            log.warning("upstream: %s", error)
            return
        except SampanError as error:  # out of reach, or it does not know us
            log.warning("upstream: %s", error)
            return
        self._keep(name, reference, found)
        self._checked[key] = time.monotonic() + self._upstream.ttl

    def _keep(self, name: str, reference: str, found: RemoteManifest) -> None:
        document = manifests.parse(found.data, found.descriptor.media_type)
        media_type = found.descriptor.media_type or manifests.media_type_of(document)
        self._storage.put_manifest(name, found.data, found.descriptor.digest, document, media_type)
        if not digests.is_digest(reference):
            self._storage.put_tag(name, reference, found.descriptor.digest)
        if isinstance(document, Manifest):
            self._sizes.update({part.digest: part.size for part in [document.config, *document.layers]})

    async def blob(self, request: web.Request, name: str, digest: str) -> web.StreamResponse:
        """A blob that is not here yet: fetched into the store, and sent on meanwhile."""
        size = self._sizes.get(digest) or self._known_size(name, digest)
        if size is None:
            raise problems.blob_unknown(digest)
        headers = {"Content-Length": str(size), "Docker-Content-Digest": digest,
                   "Content-Type": "application/octet-stream"}  # fmt: skip
        if request.method == "HEAD":
            return web.Response(headers=headers)
        download = Download(self._storage.store, Descriptor("application/octet-stream", digest, size))
        task = asyncio.create_task(self._fetch(download, name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await self._send(request, download, headers)

    def _known_size(self, name: str, digest: str) -> int | None:
        for manifest in self._storage.manifests(name):
            kept = self._storage.manifest(name, manifest)
            document = manifests.parse(*kept) if kept else None
            if isinstance(document, Manifest):
                for part in [document.config, *document.layers]:
                    if part.digest == digest:
                        return part.size
        return None

    async def _fetch(self, download: Download, name: str) -> None:
        try:
            await download.run(Repository(self._transport, name), self._slots, self._locks)
            self._storage.link_blob(name, download.descriptor.digest)
        except SampanError as error:
            log.warning("upstream: %s", error)

    async def _send(self, request: web.Request, download: Download, headers: dict[str, str]) -> web.StreamResponse:
        reader = DownloadReader(download)
        try:
            first = await run_in_thread(lambda: reader.read(CHUNK), reader.interrupt)
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
            chunk = first
            while chunk:
                await response.write(chunk)
                chunk = await run_in_thread(lambda: reader.read(CHUNK), reader.interrupt)
            return response
        finally:
            reader.close()
