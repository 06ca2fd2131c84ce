"""`image copy`: images between registries, OCI layouts and archives, whole indexes included, without an engine's store.

Digests never change: manifests and blobs go over byte by byte, parts before what names them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

from msgspec import Struct

from ..cas import Store
from ..cas.compression import CHUNK
from ..errors import NotFound
from ..oci import manifest as manifests
from ..oci import reference
from ..oci.manifest import Descriptor, Index, Manifest
from ..oci.reference import Reference
from . import archives
from .archives import REF_NAME
from .config import AuthConfig, RegistryConfig, endpoints
from .download import Download
from .failures import RegistryFailure, Unreachable
from .repository import RemoteManifest, Repository
from .shared import KeyedLocks
from .transport import Transport
from .upload import Upload

_SLOTS = 4


class Place(Protocol):
    """One end of a copy."""

    async def manifest(self, digest: str = "") -> RemoteManifest:
        """The image that the place names, or one of its manifests by digest."""
        ...

    async def fetch(self, blob: Descriptor, store: Store) -> None:
        """Bring a blob into the store."""
        ...

    async def send(self, blob: Descriptor, store: Store) -> None:
        """Take a blob from the store."""
        ...

    async def put(self, found: RemoteManifest, media_type: str, *, top: bool) -> None:
        """Take a manifest; the top one gets the place's name."""
        ...


class RegistryPlace(Struct):
    """`[docker://]REFERENCE`."""

    repository: Repository
    name: Reference
    slots: asyncio.Semaphore
    locks: KeyedLocks

    async def manifest(self, digest: str = "") -> RemoteManifest:
        return await self.repository.manifest(digest or self.name.digest or self.name.tag)

    async def fetch(self, blob: Descriptor, store: Store) -> None:
        await Download(store, blob).run(self.repository, self.slots, self.locks)

    async def send(self, blob: Descriptor, store: Store) -> None:
        async with self.slots:
            await Upload(store, blob).run(self.repository, [])

    async def put(self, found: RemoteManifest, media_type: str, *, top: bool) -> None:
        where = self.name.tag if top and self.name.tag else found.descriptor.digest
        await self.repository.put_manifest(where, found.data, media_type)


class LayoutPlace(Struct):
    """`oci:DIRECTORY[:TAG]`; its own directory is the store that blobs pass through."""

    directory: str
    tag: str
    store: Store

    async def manifest(self, digest: str = "") -> RemoteManifest:
        if not digest:
            return self._read(self._named())
        return self._read(Descriptor("", digest, 0))

    def _read(self, descriptor: Descriptor) -> RemoteManifest:
        data = self.store.read(descriptor.digest, manifests.MAX_MANIFEST_SIZE)
        return RemoteManifest(data, Descriptor(descriptor.media_type, descriptor.digest, len(data)))

    def _index(self) -> Index:
        try:
            with open(f"{self.directory}/index.json", "rb") as file:
                document = manifests.parse(file.read(), manifests.OCI_INDEX)
        except FileNotFoundError:
            return Index(2, [], media_type=manifests.OCI_INDEX)
        assert isinstance(document, Index)
        return document

    def _named(self) -> Descriptor:
        entries = self._index().manifests
        found = [entry for entry in entries if (entry.annotations or {}).get(REF_NAME, "") == self.tag]
        found = found or (entries if not self.tag and len(entries) == 1 else [])
        if len(found) != 1:
            raise NotFound(f"{self.directory} holds no image of the name {self.tag!r}")
        return found[0]

    async def fetch(self, blob: Descriptor, store: Store) -> None:
        self.store.size(blob.digest)  # the copy's store is this one, or it is taken from here by `send`
        if store is not self.store:
            await asyncio.to_thread(_copy_blob, self.store, store, blob.digest)

    async def send(self, blob: Descriptor, store: Store) -> None:
        if store is not self.store:
            await asyncio.to_thread(_copy_blob, store, self.store, blob.digest)

    async def put(self, found: RemoteManifest, media_type: str, *, top: bool) -> None:
        self.store.add(found.data, found.descriptor.digest)
        if not top:
            return
        names = {REF_NAME: self.tag} if self.tag else None
        entry = Descriptor(media_type, found.descriptor.digest, len(found.data), annotations=names)
        kept = [old for old in self._index().manifests if (old.annotations or {}).get(REF_NAME, "") != self.tag]
        data = manifests.encode(Index(2, [*kept, entry], media_type=manifests.OCI_INDEX))
        with open(f"{self.directory}/index.json.new", "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(f"{self.directory}/index.json.new", f"{self.directory}/index.json")


def _copy_blob(source: Store, target: Store, digest: str) -> None:
    if target.exists(digest):
        return
    with source.open(digest) as blob, target.writer(digest) as writer:
        while chunk := blob.read(CHUNK):
            writer.write(chunk)
        writer.commit()


async def copy(
    source: str, target: str, scratch: str, config: RegistryConfig, auth: Callable[[Reference], AuthConfig]
) -> str:
    """Copy an image or a whole index; returns its digest. `scratch` is an empty directory for blobs on the way."""
    async with AsyncExitStack() as stack:
        origin = await stack.enter_async_context(_open(source, f"{scratch}/from", config, auth))
        goal = await stack.enter_async_context(_open(target, f"{scratch}/to", config, auth, writing=True))
        layouts = [place for place in (origin, goal) if isinstance(place, LayoutPlace)]
        store = layouts[0].store if layouts else Store(f"{scratch}/content", f"{scratch}/tmp")
        return await _copy(origin, goal, store, await origin.manifest(), top=True)


async def _copy(origin: Place, goal: Place, store: Store, found: RemoteManifest, *, top: bool) -> str:
    document = manifests.parse(found.data, found.descriptor.media_type)
    if isinstance(document, Index):
        for entry in document.manifests:
            await _copy(origin, goal, store, await origin.manifest(entry.digest), top=False)
    else:
        parts = {part.digest: part for part in _parts(document)}
        await asyncio.gather(*(_one(origin, goal, store, part) for part in parts.values()))
    await goal.put(found, manifests.media_type_of(document), top=top)
    return found.descriptor.digest


def _parts(document: Manifest) -> list[Descriptor]:
    return [document.config, *(layer for layer in document.layers if not layer.urls)]


async def _one(origin: Place, goal: Place, store: Store, part: Descriptor) -> None:
    await origin.fetch(part, store)
    await goal.send(part, store)
    if not isinstance(origin, LayoutPlace) and not isinstance(goal, LayoutPlace):
        store.delete(part.digest)


@asynccontextmanager
async def _open(
    text: str, scratch: str, config: RegistryConfig, auth: Callable[[Reference], AuthConfig], *, writing: bool = False
) -> AsyncIterator[Place]:
    kind, _, rest = text.partition(":")
    if kind == "oci":
        directory, _, tag = rest.partition(":")
        yield LayoutPlace(directory, tag, Store(directory, f"{directory}/tmp"))
    elif kind in {"oci-archive", "docker-archive"}:
        async with _archive(kind, rest, scratch, writing=writing) as place:
            yield place
    else:
        async with _registry(text, config, auth) as found:
            yield found


@asynccontextmanager
async def _archive(kind: str, text: str, scratch: str, *, writing: bool) -> AsyncIterator[LayoutPlace]:
    """A file, by way of a layout in the scratch directory; it is written when the copy has succeeded."""
    path, _, name = text.partition(":")
    os.mkdir(scratch)
    if not writing and kind == "oci-archive":
        await asyncio.to_thread(archives.unpack_layout, path, scratch)
    elif not writing:
        await asyncio.to_thread(archives.unpack_docker, path, scratch, name)
    tag = name if kind == "oci-archive" else ""
    yield LayoutPlace(scratch, tag, Store(scratch, f"{scratch}/tmp"))
    if writing:
        await asyncio.to_thread(archives.pack, scratch, path, name, docker=kind == "docker-archive")


@asynccontextmanager
async def _registry(
    text: str, config: RegistryConfig, auth: Callable[[Reference], AuthConfig]
) -> AsyncIterator[RegistryPlace]:
    name = reference.parse(text.removeprefix("docker://")).with_default_tag()
    reasons = []
    for endpoint in endpoints(config, name.domain):
        transport = Transport(config, endpoint, auth(name))
        async with transport:
            try:
                await transport.ping()
            except (Unreachable, RegistryFailure) as error:
                reasons.append(str(error))
                continue
            yield RegistryPlace(Repository(transport, name.path), name, asyncio.Semaphore(_SLOTS), KeyedLocks())
            return
    raise Unreachable(f"no registry answers at {name.domain}: {'; '.join(reasons)}")
