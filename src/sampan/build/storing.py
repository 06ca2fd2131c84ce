"""From solved targets to images: one for each platform, listed by the engine or only held until a client has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..engine.engine import Engine
from ..engine.imagehost import image_event
from ..errors import InvalidArgument
from ..image import attestations, variants
from ..image.layers import Layer
from ..image.record import Image
from ..model.times import now
from ..oci import config as configs
from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci import platform as platforms
from ..oci.config import History, ImageConfig, RootFS
from ..oci.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
)
from ..oci.reference import Reference
from .cacheconfig import Cache
from .cacheexport import CacheTarget
from .frontend.request import Target
from .graph import ImageSource, Vertex, walk
from .image import configuration, moment
from .imageform import ImageForm, Provenance
from .progress import BuiltImage, ImageBuilt
from .provenance import Attestation, Facts, attestation, image_material, predicate
from .recompressing import recompressed
from .result import Result
from .squashing import squash


@dataclass(frozen=True)
class Built:
    """An image per platform, in the order that was asked for; `index` is the index of several, else empty."""

    images: tuple[Image, ...]
    manifests: tuple[Descriptor, ...]
    index: bytes = b""
    caches: tuple[tuple[CacheTarget, Cache], ...] = ()
    """Of `--cache-to type=local`, in order: what the client fetches."""
    attestations: dict[str, list[str]] = field(default_factory=dict)
    """Digests of manifests with statements about the images, each with those of all its blobs."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Of the entry in an archive's `index.json`."""
    provenance: tuple[dict[str, Any], ...] = ()
    """Of each image, where the client asked for it."""

    @property
    def image(self) -> Image:
        """The one for this machine, or the first."""
        here = (image for image in self.images if platforms.rank(platforms.host(), image.config.platform) == 0)
        return next(here, self.images[0])

    @property
    def index_digest(self) -> str:
        """Empty where there is but one image."""
        return digests.of_bytes(self.index) if self.index else ""

    def for_platform(self, text: str) -> Image:
        """The one of a platform; with an empty text that for this machine."""
        found = (image for image in self.images if str(image.config.platform.normalized()) == text)
        return next(found) if text else self.image

    def hold(self, engine: Engine, stack: AsyncExitStack) -> None:
        """Keep layers and documents until the stack ends; then all goes that no row names."""
        attested = [blob for blobs in self.attestations.values() for blob in blobs]
        for image in self.images:
            documents = [image.id, image.manifest, *attested, *([self.index_digest] if self.index else [])]
            stack.callback(engine.images.release, image.layers, documents)
            keys = [key for layer in image.layers for key in (layer.chain_id, layer.descriptor.digest)]
            stack.enter_context(engine.images.hold([*documents, *keys]))

    def event(self) -> ImageBuilt:
        """What is told of it."""
        images = tuple(
            BuiltImage(id=image.id, manifest=manifest.digest, size=manifest.size, platform=str(manifest.platform))
            for image, manifest in zip(self.images, self.manifests, strict=True)
        )
        return ImageBuilt(
            images=images, index=self.index_digest, index_size=len(self.index), provenance=self.provenance
        )  # fmt: skip


async def document(engine: Engine, target: Target, result: Result, epoch: int | None, *, one: bool) -> tuple[
    ImageConfig, Result
]:  # fmt: skip
    """The image's configuration and layers; with `one`, all that is above the base is a single layer."""
    config = configuration(target, result, epoch)
    below = len(target.base.rootfs.diff_ids) if target.base is not None else 0
    if not one or len(result.layers) <= below:
        return config, result
    merged = await squash(engine, result, below, epoch)
    return _squashed(config, merged, target, epoch), merged


def _squashed(config: ImageConfig, merged: Result, target: Target, epoch: int | None) -> ImageConfig:
    """History as dockerd's `--squash` writes it: the steps are empty, one line more stands for the layer."""
    history = list(config.history or [])
    below = len(target.base.history or []) if target.base is not None else 0
    history[below:] = [msgspec.structs.replace(line, empty_layer=True) for line in history[below:]]
    whole, base = digests.of_bytes(configs.encode(config)), _base_id(target.vertex)
    comment = f"merge {whole} to {base}" if base else f"create new from {whole}"
    created = moment(epoch) if epoch is not None else now()
    history.append(History(created=created, comment=comment))
    rootfs = RootFS(diff_ids=[layer.diff_id for layer in merged.layers])
    return msgspec.structs.replace(config, history=history, created=created, rootfs=rootfs)


def _base_id(vertex: Vertex) -> str:
    while vertex.inputs:
        vertex = vertex.inputs[0]
    return vertex.op.digest if isinstance(vertex.op, ImageSource) else ""


@dataclass(frozen=True)
class Order:
    """How the images are to be stored: `listed` by the engine or not, in which form, stating what under which names."""

    listed: bool
    form: ImageForm
    names: Sequence[Reference]
    statements: Sequence[dict[str, Any]]
    """The provenance of each image, where it is to be attested."""


async def formed(
    engine: Engine,
    target: Target,
    config: ImageConfig,
    result: Result,
    form: ImageForm,
    stored: Callable[[str], object],
) -> tuple[ImageConfig, tuple[Layer, ...]]:
    """The layers as they are to be compressed."""
    below = len(target.base.rootfs.diff_ids) if target.base is not None else 0
    return config, await recompressed(engine.store, result.layers, below, form, stored)


def check_form(form: ImageForm, images: int) -> None:
    """InvalidArgument where so many images cannot be in that form."""
    if images == 1 and form.provenance is None and (form.annotated("index") or form.annotated("index-descriptor")):
        raise InvalidArgument("index annotations not supported for single platform export")


def store(engine: Engine, documents: Sequence[tuple[ImageConfig, tuple[Layer, ...]]], order: Order) -> Built:
    """Put the documents into the store and, where they are listed, the images into the engine's list."""
    form = order.form
    images = tuple(_image(engine, config, layers, order) for config, layers in documents)
    described = [variants.single(engine.images, image) for image in images]
    attested = [
        attestation(stated, order.names, image.config.platform, image.manifest)
        for image, stated in zip(images, order.statements, strict=bool(order.statements))
    ]
    if len(images) == 1 and not attested:
        annotations = form.annotated("manifest-descriptor", images[0].config.platform.normalized()) or {}
        _note(engine, images, b"", (), order)
        return Built(images, tuple(described), annotations=annotations)
    entries = [
        msgspec.structs.replace(entry, annotations=form.annotated("manifest-descriptor", entry.platform))
        for entry in described
    ]
    entries += [one.entry(image.manifest) for one, image in zip(attested, images, strict=bool(attested))]
    kind = DOCKER_LIST if form.docker_types else OCI_INDEX
    index = manifests.encode(Index(2, entries, media_type=kind, annotations=form.annotated("index")))
    for data in (index, *(data for one in attested for data in one)):
        engine.store.add(data)
    _note(engine, images, index, attested, order)
    kept = {digests.of_bytes(one.manifest): [digests.of_bytes(data) for data in one] for one in attested}
    return Built(
        images, tuple(described), index, attestations=kept, annotations=form.annotated("index-descriptor") or {}
    )


def _image(engine: Engine, config: ImageConfig, layers: tuple[Layer, ...], order: Order) -> Image:
    """One image with its manifest. One that is known already gets the form that is asked for now."""
    images, form, data = engine.images, order.form, configs.encode(config)
    if form.docker_types:
        layers = tuple(msgspec.structs.replace(layer, descriptor=_of_docker(layer.descriptor)) for layer in layers)
    manifest = Manifest(
        2, manifests.describe(data, DOCKER_CONFIG if form.docker_types else OCI_CONFIG),
        [layer.descriptor for layer in layers], media_type=DOCKER_MANIFEST if form.docker_types else OCI_MANIFEST,
        annotations=form.annotated("manifest", config.platform.normalized()),
    )  # fmt: skip
    encoded = manifests.encode(manifest)
    if not order.listed:
        return images.unlisted(data, layers, manifest=encoded)
    image = images.add(data, layers, manifest=encoded)
    is_asked = form != ImageForm(provenance=form.provenance)
    return images.remake(image, layers, encoded) if is_asked and image.manifest != digests.of_bytes(encoded) else image


def stated_of(engine: Engine, facts: Facts, target: Target, asked: Provenance) -> dict[str, Any]:
    """The provenance of what a target becomes."""
    sources = {step.op for step in walk(target.vertex) if isinstance(step.op, ImageSource) and step.op.digest}
    bases = sorted(image_material(source, engine.images.by_id(source.digest).manifest) for source in sources)
    return predicate(facts, target.vertex, target.platform, bases, asked)


_DOCKER_TYPES = {OCI_LAYER: DOCKER_LAYER, OCI_LAYER_GZIP: DOCKER_LAYER_GZIP, OCI_LAYER_ZSTD: DOCKER_LAYER_ZSTD}


def _of_docker(layer: Descriptor) -> Descriptor:
    return msgspec.structs.replace(layer, media_type=_DOCKER_TYPES.get(layer.media_type, layer.media_type))


def _note(
    engine: Engine, images: Sequence[Image], index: bytes, attested: Sequence[Attestation], order: Order
) -> None:  # fmt: skip
    if not order.listed:
        return
    for number, image in enumerate(images):
        image_event(engine, "create", image)
        if index:
            variants.note(engine.images, index, image)
        if attested:
            document = manifests.parse(attested[number].manifest)
            assert isinstance(document, Manifest)
            attestations.note(engine.images, image.id, attested[number].manifest, document)
