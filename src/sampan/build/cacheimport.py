"""`--cache-from`: results of steps that ran elsewhere, fetched when a step asks for them.

Whatever is wrong with a cache is a warning; the step then runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct, field

from ..cas import Store
from ..cas.compression import CHUNK, Readable
from ..cas.threads import run_in_thread
from ..engine.bodies import fed
from ..errors import DataLoss, InvalidArgument, NotFound, SampanError
from ..image.archive import choose
from ..image.layers import Layer, chain_on
from ..oci import config as configs
from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci import reference
from ..oci.config import RootFS
from ..oci.manifest import Descriptor, Index, Manifest
from ..oci.platform import Platform
from ..oci.reference import Reference
from ..registry.config import AuthFor
from .asking import Asked
from .cacheconfig import MAX_CONFIG, CachedLayers, config_of, parse, parse_inline
from .progress import Warned
from .result import Result

if TYPE_CHECKING:
    from ..engine.engine import Engine
    from ..registry.transport import Transport
    from .session import Session

_KEYS = {"registry": frozenset({"type", "ref"}), "local": frozenset({"type", "src", "tag", "digest"})}


@dataclass(frozen=True)
class CacheSource:
    """One `--cache-from`. `where` is a reference, or the name of a local one's directory, for whose files is `asked`.

    `prefer_image`: an image of the name that is here will do (the classic builder's `cachefrom`).
    """

    where: str
    asked: Asked | None = None
    tag: str = ""
    digest: str = ""
    prefer_image: bool = False


def parse_source(fields: Mapping[str, str], asked: Asked | None) -> CacheSource:
    """From the flag's fields; raises InvalidArgument for what there is not."""
    kind = fields.get("type", "")
    if kind not in _KEYS:
        raise InvalidArgument(f"unknown cache importer: {kind!r}: one of local, registry is wanted")
    unknown = set(fields) - _KEYS[kind]
    if unknown:
        raise InvalidArgument(f"cache importer {kind} knows no {min(unknown)}")
    if kind == "registry":
        reference.parse(fields.get("ref", ""))
        return CacheSource(fields["ref"])
    if asked is None:
        raise InvalidArgument("a local cache needs a client that can be asked for its files")
    return CacheSource(fields.get("src", ""), asked, fields.get("tag", "latest"), fields.get("digest", ""))


class _Origin(Protocol):
    """Where a cache's documents and blobs come from."""

    async def manifest(self) -> Manifest | Index: ...

    async def member(self, part: Descriptor) -> Manifest | Index: ...

    async def blob(self, part: Descriptor, limit: int) -> bytes: ...

    async def fetch(self, part: Descriptor) -> None:
        """Bring a layer into the store."""
        ...


class _InlineConfig(Struct):
    """What an image's configuration has of a cache."""

    rootfs: RootFS = RootFS()
    cache: bytes = field(default=b"", name="moby.buildkit.cache.v0")


@dataclass(frozen=True)
class _Imported:
    where: str
    origin: _Origin
    records: dict[str, CachedLayers]

    @cached_property
    def links(self) -> dict[str, str]:
        """From keys by definition to keys."""
        return {found.definition: key for key, found in self.records.items() if found.definition}


class Imports:
    """The caches that one build looks into, in the order that they were named."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._imported: list[_Imported] = []

    async def load(self, session: Session, sources: Sequence[CacheSource], auth: AuthFor, platform: Platform) -> None:
        """Read what the caches hold; a warning for each that cannot be read."""
        for source in sources:
            origin = _origin(self._engine, source, auth)
            try:
                with session.showing(f"importing cache manifest from {source.where}"):
                    records = await _records(self._engine, source, origin, platform)
            except (SampanError, OSError) as error:
                session.tell(Warned(text=f"failed to import cache from {source.where}: {error}"))
                continue
            self._imported.append(_Imported(source.where, origin, records))

    def linked(self, definition: str) -> str:
        """The key that a key by definition stands for; empty where there is none."""
        found = (imported.links.get(definition) for imported in self._imported)
        return next((key for key in found if key), "")

    def made(self, definition: str) -> float | None:
        """When what a key by definition stands for came about."""
        key = self.linked(definition)
        return next((found.records[key].made for found in self._imported if key in found.records), None)

    async def find(self, session: Session, key: str, below: Sequence[Layer]) -> Result | None:
        """The result of a step by its key, on the layers that it ran on; its own are fetched and unpacked."""
        for imported in self._imported:
            record = imported.records.get(key)
            if record is None or not record.stands_on(below):
                continue
            try:
                layers = await self._layers(imported.origin, record, below)
            except (SampanError, OSError) as error:
                session.tell(Warned(text=f"cache {imported.where} is of no use: {error}"))
                del imported.records[key]
                continue
            return Result(layers, made=(record.made,))
        return None

    async def _layers(self, origin: _Origin, record: CachedLayers, below: Sequence[Layer]) -> tuple[Layer, ...]:
        diff_ids = [diff_id for _, diff_id in record.layers]
        layers = list(below)
        with self._engine.images.hold(
            [*digests.chain_ids(diff_ids), *(descriptor.digest for descriptor, _ in record.layers)]
        ):
            for descriptor, diff_id in record.layers[len(below) :]:
                parent = layers[-1].chain_id if layers else None
                layers.append(await self._layer(origin, descriptor, diff_id, parent))
        return tuple(layers)

    async def _layer(self, origin: _Origin, descriptor: Descriptor, diff_id: str, parent: str | None) -> Layer:
        engine, chain = self._engine, chain_on(parent, diff_id)
        async with engine.registries.locks.hold(f"unpack {chain}"):
            if not engine.store.exists(descriptor.digest):
                await origin.fetch(descriptor)
            if engine.snapshots.exists(chain):
                return Layer(descriptor, diff_id, chain, engine.snapshots.usage(chain).bytes)
            with engine.store.open(descriptor.digest) as blob:
                return await engine.images.layers.unpack(blob, descriptor, diff_id, parent)


def _origin(engine: Engine, source: CacheSource, auth: AuthFor) -> _Origin:
    if source.asked is not None:
        return _Layout(engine, source.asked, source.tag, source.digest)
    return _Registry(engine, reference.parse(source.where).with_default_tag(), auth)


async def _records(engine: Engine, source: CacheSource, origin: _Origin, platform: Platform) -> dict[str, CachedLayers]:
    if source.prefer_image:
        try:
            image = engine.images.get(source.where)
        except NotFound:
            pass
        else:
            layers = [layer.descriptor for layer in image.layers]
            return _inline(engine.store.read(image.id, configs.MAX_CONFIG_SIZE), layers)
    found = await origin.manifest()
    config = config_of(found)
    if config is not None:
        return parse(await origin.blob(config, MAX_CONFIG))
    if isinstance(found, Index):
        found = await origin.member(choose(found, platform))
    if not isinstance(found, Manifest):
        raise InvalidArgument("indexes are nested too deep")
    return _inline(await origin.blob(found.config, configs.MAX_CONFIG_SIZE), found.layers)


def _inline(config: bytes, layers: Sequence[Descriptor]) -> dict[str, CachedLayers]:
    try:
        found = msgspec.json.decode(config, type=_InlineConfig)
    except msgspec.MsgspecError as error:
        raise InvalidArgument(f"invalid cache config: {error}") from None
    if not found.cache:
        raise InvalidArgument("the image holds no cache: it was not built with inline cache")
    return parse_inline(found.cache, layers, found.rootfs.diff_ids)


class _Registry:
    """A reference in a registry: a cache, or an image that has one inside."""

    def __init__(self, engine: Engine, ref: Reference, auth: AuthFor) -> None:
        self._engine = engine
        self._ref = ref
        self._auth = auth

    async def manifest(self) -> Manifest | Index:
        return await self._manifest(self._ref.digest or self._ref.tag, "")

    async def member(self, part: Descriptor) -> Manifest | Index:
        return await self._manifest(part.digest, part.media_type)

    async def _manifest(self, name: str, media_type: str) -> Manifest | Index:
        from ..registry.repository import RemoteManifest, Repository

        async def work(transport: Transport) -> RemoteManifest:
            return await Repository(transport, self._ref.path).manifest(name)

        found = await self._engine.registries.connect(self._ref.domain, await self._auth(self._ref.domain), work)
        return manifests.parse(found.data, media_type or found.descriptor.media_type)

    async def blob(self, part: Descriptor, limit: int) -> bytes:
        from ..registry.repository import Repository

        async def work(transport: Transport) -> bytes:
            return await Repository(transport, self._ref.path).blob(part, limit)

        return await self._engine.registries.connect(self._ref.domain, await self._auth(self._ref.domain), work)

    async def fetch(self, part: Descriptor) -> None:
        from ..registry.download import Download
        from ..registry.repository import Repository

        engine = self._engine

        async def work(transport: Transport) -> None:
            repository = Repository(transport, self._ref.path)
            await Download(engine.store, part).run(repository, engine.registries.downloads, engine.registries.locks)

        await engine.registries.connect(self._ref.domain, await self._auth(self._ref.domain), work)


class _Layout:
    """An OCI layout in a directory of the client's; what is needed of it is asked for."""

    def __init__(self, engine: Engine, asked: Asked, tag: str, digest: str) -> None:
        self._engine = engine
        self._asked = asked
        self._tag = tag
        self._digest = digest

    async def manifest(self) -> Manifest | Index:
        index = manifests.parse(await self._document("index.json", manifests.MAX_MANIFEST_SIZE))
        if not isinstance(index, Index):
            raise InvalidArgument("index.json is no index")
        for entry in index.manifests:
            named = (entry.annotations or {}).get("org.opencontainers.image.ref.name", "")
            if entry.digest == self._digest or (not self._digest and named == self._tag):
                return await self.member(entry)
        raise NotFound(f"index.json names no {self._digest or self._tag}")

    async def member(self, part: Descriptor) -> Manifest | Index:
        return manifests.parse(await self.blob(part, manifests.MAX_MANIFEST_SIZE), part.media_type)

    async def blob(self, part: Descriptor, limit: int) -> bytes:
        data = await self._document(digests.blob_path(part.digest), limit)
        if digests.of_bytes(data) != part.digest:
            raise DataLoss(f"{part.digest} is damaged")
        return data

    async def fetch(self, part: Descriptor) -> None:
        async def store(body: AsyncIterator[bytes]) -> None:
            async with fed(body) as feed:
                await run_in_thread(lambda: _store(self._engine.store, part, feed), feed.interrupt)

        await self._asked.file(digests.blob_path(part.digest), store)

    async def _document(self, name: str, limit: int) -> bytes:
        async def read(body: AsyncIterator[bytes]) -> bytes:
            data = bytearray()
            async for chunk in body:
                data += chunk
                if len(data) > limit:
                    raise InvalidArgument(f"{name} is larger than {limit} bytes")
            return bytes(data)

        return await self._asked.file(name, read)


def _store(store: Store, part: Descriptor, source: Readable) -> None:
    with store.writer(part.digest) as writer:
        while chunk := source.read(CHUNK):
            writer.write(chunk)
        writer.commit()
