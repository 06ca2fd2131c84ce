"""What a client fetches of a build: the file trees as one archive, or the images as an OCI layout."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack

from ..engine.bodies import in_threads
from ..engine.engine import Engine
from ..image import saving
from ..image.saving import Saved
from ..image.variants import KeptIndex
from ..oci import manifest as manifests
from ..oci.manifest import Index
from ..oci.reference import Reference
from ..storage import whole_trees
from .layering import shown
from .result import Result
from .storing import Built


async def tree(engine: Engine, built: Built, platform: str) -> AsyncIterator[bytes]:
    """The chunks of a tar of all that an image holds; of several without a `platform` each in its own directory."""
    chosen = built.images if built.index and not platform else (built.for_platform(platform),)
    async with AsyncExitStack() as stack:
        built.hold(engine, stack)
        roots: dict[str, int] = {}
        for image in chosen:
            path = await stack.enter_async_context(shown(engine, Result(image.layers)))
            root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            stack.callback(os.close, root)
            name = str(image.config.platform.normalized()).replace("/", "_")
            roots[f"{name}/" if len(chosen) > 1 else ""] = root
        async for chunk in in_threads(whole_trees(roots)):
            yield chunk


async def archive(engine: Engine, built: Built, names: Sequence[Reference]) -> AsyncIterator[bytes]:
    """The chunks of an OCI layout, as `image save` gives it."""
    async with AsyncExitStack() as stack:
        built.hold(engine, stack)
        async for chunk in in_threads(_saved(engine, built, names)):
            yield chunk


def _saved(engine: Engine, built: Built, names: Sequence[Reference]) -> Iterator[bytes]:
    index = None
    if built.index:
        document = manifests.parse(built.index)
        assert isinstance(document, Index)
        members = {image.manifest: image for image in built.images}
        index = KeptIndex(built.index_digest, built.index, document, members, built.attestations)
    chosen = [Saved(image, tuple(names), index, built.annotations) for image in built.images]
    return saving.save(engine.images, chosen)
