"""From solved targets to images: one for each platform, listed by the engine or only held until a client has them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec

from ..engine.engine import Engine
from ..engine.imagehost import image_event
from ..image import variants
from ..image.record import Image
from ..model.times import now
from ..oci import config as configs
from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci import platform as platforms
from ..oci.config import History, ImageConfig, RootFS
from ..oci.manifest import OCI_INDEX, Descriptor, Index
from .cacheconfig import Cache
from .cacheexport import CacheTarget
from .frontend.request import Target
from .graph import ImageSource, Vertex
from .image import configuration, moment
from .progress import BuiltImage, ImageBuilt
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
        for image in self.images:
            documents = [image.id, image.manifest, *([self.index_digest] if self.index else [])]
            stack.callback(engine.images.release, image.layers, documents)
            keys = [key for layer in image.layers for key in (layer.chain_id, layer.descriptor.digest)]
            stack.enter_context(engine.images.hold([*documents, *keys]))

    def event(self) -> ImageBuilt:
        """What is told of it."""
        images = tuple(
            BuiltImage(id=image.id, manifest=manifest.digest, size=manifest.size, platform=str(manifest.platform))
            for image, manifest in zip(self.images, self.manifests, strict=True)
        )
        return ImageBuilt(images=images, index=self.index_digest, index_size=len(self.index))


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


def store(engine: Engine, documents: Sequence[tuple[ImageConfig, Result]], *, listed: bool) -> Built:
    """Put the documents into the store and, where they are `listed`, the images into the engine's list."""
    add = engine.images.add if listed else engine.images.unlisted
    images = tuple(add(configs.encode(config), result.layers) for config, result in documents)
    described = tuple(variants.single(engine.images, image) for image in images)
    index = b"" if len(images) == 1 else manifests.encode(Index(2, list(described), media_type=OCI_INDEX))
    if index:
        engine.store.add(index)
    if listed:
        for image in images:
            image_event(engine, "create", image)
            if index:
                variants.note(engine.images, index, image)
    return Built(images, described, index)
