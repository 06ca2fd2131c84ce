"""`--cache-to`: what a build's steps gave, to a registry, to the client, or into the image itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..engine.bodies import in_threads
from ..engine.tasks import run_all
from ..errors import InvalidArgument, SampanError
from ..image.layers import Layer
from ..image.saving import archive
from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci import reference
from ..oci.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor, Index
from ..registry.config import AuthFor
from .cacheconfig import Cache, compose
from .progress import Warned
from .result import Solved
from .session import Session

if TYPE_CHECKING:
    from ..engine.engine import Engine
    from ..registry.transport import Transport

_KEYS = {
    "registry": frozenset({"type", "ref", "mode", "ignore-error", "image-manifest", "oci-mediatypes"}),
    "local": frozenset({"type", "dest", "tag", "mode", "ignore-error", "image-manifest", "oci-mediatypes"}),
    "inline": frozenset({"type", "mode"}),
}


@dataclass(frozen=True)
class CacheTarget:
    """One `--cache-to`. `everything` (mode=max): the steps of all stages, not only of the image's own layers."""

    kind: str
    ref: str = ""
    tag: str = "latest"
    everything: bool = False
    ignore_error: bool = False


def parse_target(fields: Mapping[str, str]) -> CacheTarget:
    """From the flag's fields; raises InvalidArgument for what there is not."""
    kind, mode = fields.get("type", ""), fields.get("mode", "min")
    if kind not in _KEYS:
        raise InvalidArgument(f"unknown cache exporter: {kind!r}: one of inline, local, registry is wanted")
    unknown = set(fields) - _KEYS[kind]
    if unknown:
        raise InvalidArgument(f"cache exporter {kind} knows no {min(unknown)}")
    if mode not in ("min", "max") or (kind == "inline" and mode == "max"):
        raise InvalidArgument(f"cache exporter {kind}: invalid mode {mode}")
    if "false" in (fields.get("image-manifest"), fields.get("oci-mediatypes")):
        raise InvalidArgument("caches are written as OCI image manifests only")
    if kind == "registry":
        reference.parse(fields.get("ref", ""))
    everything, ignored = mode == "max", fields.get("ignore-error") == "true"
    return CacheTarget(kind, fields.get("ref", ""), fields.get("tag", "latest"), everything, ignored)


def chosen(
    solved: Mapping[str, Solved], images: Sequence[Sequence[Layer]], *, everything: bool
) -> Mapping[str, Solved]:
    """The steps that a cache is to hold."""
    if everything:
        return solved
    kept = {layer.chain_id for layers in images for layer in layers}
    return {key: found for key, found in solved.items() if found.layers and found.layers[-1].chain_id in kept}


async def export(
    session: Session, targets: Sequence[CacheTarget], images: Sequence[Sequence[Layer]], auth: AuthFor
) -> list[tuple[CacheTarget, Cache]]:
    """Push to registries; what is for the client is given back. A failure ends the build unless it is to be ignored."""
    local = []
    for target in targets:
        cache = compose(chosen(session.solved, images, everything=target.everything))
        if target.kind == "local":
            local.append((target, cache))
        elif target.kind == "registry":
            try:
                with session.showing("exporting cache to registry", f"export cache {target.ref}") as did:
                    await _push(session.engine, target.ref, cache, auth)
                    for layer in cache.layers:
                        did(f"writing layer {layer.digest}")
                    did(f"writing config {cache.config_descriptor.digest}")
                    did(f"writing cache image manifest {digests.of_bytes(cache.manifest)}")
            except SampanError as error:
                if not target.ignore_error:
                    raise SampanError(f"error writing cache to {target.ref}: {error}") from error
                session.tell(Warned(text=f"error writing cache to {target.ref}: {error}"))
    return local


async def _push(engine: Engine, name: str, cache: Cache, auth: AuthFor) -> None:
    from ..registry.repository import Repository  # the registry client costs memory until it is needed
    from ..registry.upload import Upload

    ref = reference.parse(name).with_default_tag()
    store, config = engine.store, cache.config_descriptor

    async def work(transport: Transport) -> None:
        repository = Repository(transport, ref.path)

        async def upload(part: Descriptor) -> None:
            async with engine.registries.uploads:
                await Upload(store, part).run(repository, ())

        await run_all(upload(part) for part in (*cache.layers, config))
        await repository.put_manifest(ref.tag, cache.manifest, OCI_MANIFEST)

    with store.lease([config.digest]):
        store.add(cache.config)
        try:
            await engine.registries.connect(ref.domain, await auth(ref.domain), work, mirrors=False)
        finally:
            store.delete(config.digest)


async def layout(engine: Engine, target: CacheTarget, cache: Cache) -> AsyncIterator[bytes]:
    """A cache as the tar of an OCI layout; the caller holds its layers."""
    digest = digests.of_bytes(cache.manifest)
    entry = Descriptor(
        OCI_MANIFEST, digest, len(cache.manifest), annotations={"org.opencontainers.image.ref.name": target.tag}
    )
    documents = {
        digests.blob_path(digest): cache.manifest,
        digests.blob_path(cache.config_descriptor.digest): cache.config,
        "index.json": manifests.encode(Index(2, [entry], media_type=OCI_INDEX)),
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
    }
    sizes = {layer.digest: layer.size for layer in cache.layers}
    async for chunk in in_threads(archive(engine.store, sizes, documents)):
        yield chunk
