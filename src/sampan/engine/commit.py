"""`docker commit`: a container's changes as a layer upon its image."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec
from msgspec import Struct, field

from ..image.changes import apply_changes
from ..image.layers import Layer
from ..model.container import ContainerConfig
from ..model.times import now
from ..oci import config as configs
from ..oci.config import ExecutionConfig, History, ImageConfig, RootFS
from ..oci.reference import Reference
from . import images, merge, pause
from .container import Container
from .engine import Engine
from .imagehost import image_event


class CommitRequest(Struct, frozen=True):
    """`target` is where the tag goes, `config` overrides the container's, `changes` are Dockerfile instructions."""

    target: Reference | None = None
    comment: str = ""
    author: str = ""
    pause: bool = True
    changes: list[str] = field(default_factory=list)
    config: ContainerConfig | None = None


async def commit(engine: Engine, ref: str, request: CommitRequest) -> str:
    """Make the image; returns its id. InvalidArgument for a bad change, before anything is read."""
    container = engine.containers.get(ref)
    execution = _execution(container, request)
    base = engine.images.by_id(container.image_id)
    async with _still(engine, container, request.pause):
        layer = await _layer(engine, container)
    document = _document(base.config, container, request, execution, layer)
    layers = [*base.layers, *([layer] if layer else [])]
    image = engine.images.add(configs.encode(document), layers, parent=base.id)
    if request.target is not None:
        images.set_tag(engine, image, request.target.with_default_tag())
    shown = request.target.familiar if request.target else ""
    engine.container_event(container, "commit", comment=request.comment, imageID=image.id, imageRef=shown)
    image_event(engine, "create", image)
    return image.id


@asynccontextmanager
async def _still(engine: Engine, container: Container, wanted: bool) -> AsyncIterator[None]:
    """The container paused, when it runs and that is wanted."""
    if not wanted or not container.running or container.paused:
        yield
        return
    await pause.pause(engine, container.id)
    try:
        yield
    finally:
        if engine.containers.get(container.id).paused:
            await pause.unpause(engine, container.id)


async def _layer(engine: Engine, container: Container) -> Layer | None:
    """The container's changes in the store and unpacked; None when there are none."""
    if not await asyncio.to_thread(engine.snapshots.changes, container.id):
        return None
    stream = Chunks(engine.snapshots.diff(container.id))
    return await engine.images.layers.ingest(stream, container.layer_parent or None)


def _execution(container: Container, request: CommitRequest) -> ExecutionConfig:
    """What was asked for, completed from the container as a container's is from its image."""
    asked = as_execution(request.config or container.config)
    apply_changes(asked, request.changes)
    config = msgspec.convert(msgspec.to_builtins(asked), ContainerConfig)
    merge.merge(config, as_execution(container.config))
    return as_execution(config)


def as_execution(config: ContainerConfig) -> ExecutionConfig:
    """The part of a container's configuration that an image holds."""
    return msgspec.convert(msgspec.to_builtins(config), ExecutionConfig)


def _document(
    base: ImageConfig, container: Container, request: CommitRequest, execution: ExecutionConfig, layer: Layer | None
) -> ImageConfig:
    created = now()
    line = History(
        created=created, author=request.author, comment=request.comment,
        created_by=" ".join(container.config.cmd or []), empty_layer=layer is None,
    )  # fmt: skip
    return ImageConfig(
        architecture=base.architecture, os=base.os, variant=base.variant, os_version=base.os_version,
        config=execution, created=created, author=request.author, comment=request.comment, container=container.id,
        history=[*(base.history or []), line],
        rootfs=RootFS(diff_ids=[*base.rootfs.diff_ids, *([layer.diff_id] if layer else [])]),
    )  # fmt: skip


class Chunks:
    """An iterator of bytes to be read like a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        if not self._left:
            self._left = next(self._chunks, b"")
        data, self._left = self._left[:size], self._left[size:]
        return data
