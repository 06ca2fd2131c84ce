"""`sampan system check` for images: blobs and layers compared with the rows that name them, and mended.

stray      a blob, a layer, or the rest of a download, that neither an image nor the build cache names
missing    an image's blob or layer that is not there
damaged    a blob whose content is not its digest
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence

from msgspec import Struct

from ..cas.threads import run_in_thread
from ..errors import SampanError
from ..image import attestations
from ..image.images import Images
from ..image.layers import Layer
from .imagehost import ImageHost

_STRAY_AGE = 24 * 3600.0
_PARTIAL_AGE = 7 * 24 * 3600.0
_BATCH = 32


class ImageProblem(Struct, frozen=True):
    """One finding; `repaired` says whether it was mended, `bytes` what a stray takes."""

    what: str
    key: str
    detail: str
    repaired: bool = False
    bytes: int = 0


async def check_images(
    host: ImageHost, *, repair: bool = False, verify: bool = True, stray_age: float = _STRAY_AGE
) -> list[ImageProblem]:
    """Look through the store. `verify` reads every blob; `stray_age` spares what may belong to work under way."""
    found = await _strays(host.images, repair, stray_age)
    checked: dict[str, ImageProblem | None] = {}
    for image in host.images.all():
        named = [image.id, image.manifest, *(layer.descriptor.digest for layer in image.layers)]
        named += attestations.blobs_of(host.images, image.id)
        for digest in named:
            if digest not in checked:
                checked[digest] = await _check_blob(host.images, digest, image.id, repair, verify)
        parent: str | None = None
        for layer in image.layers:
            if layer.chain_id not in checked:
                checked[layer.chain_id] = await _check_layer(host.images, layer, parent, image.id, repair)
            parent = layer.chain_id
    return found + [problem for problem in checked.values() if problem is not None]


async def _strays(images: Images, repair: bool, age: float) -> list[ImageProblem]:
    store, limit = images.store, time.time() - age
    old = await run_in_thread(
        lambda: [(digest, size) for digest, size in store.walk() if store.modified(digest) < limit]
    )
    found = []
    async for digest, size in _unnamed(old, images.referenced_blobs):
        if store.modified(digest) >= limit:
            continue  # somebody found it useful just now
        done = repair and store.collect_one(digest) > 0
        found.append(ImageProblem("stray", digest, "no image names this blob", done, size))
    partial, left = await run_in_thread(lambda: _partials(images, repair, time.time() - min(age, _PARTIAL_AGE)))
    found += [
        ImageProblem("stray", digest, "an interrupted download", digest not in left, size) for digest, size in partial
    ]
    return found + await _stray_layers(images, repair, limit)


async def _unnamed(sizes: Sequence[tuple[str, int]], named: Callable[[], set[str]]) -> AsyncIterator[tuple[str, int]]:
    """Those that nothing names, a few at a time: others have their turn between, and may name one meanwhile."""
    for batch in range(0, len(sizes), _BATCH):
        taken = named()
        for key, size in sizes[batch : batch + _BATCH]:
            if key not in taken:
                yield key, size
        await asyncio.sleep(0)


def _partials(images: Images, repair: bool, older_than: float) -> tuple[list[tuple[str, int]], set[str]]:
    """Interrupted downloads with their bytes, and which of them are left once the old ones are dropped."""
    partial = images.store.list_partial()
    if repair:
        images.store.drop_partials(older_than)
    return partial, {digest for digest, _ in images.store.list_partial()}


async def _stray_layers(images: Images, repair: bool, limit: float) -> list[ImageProblem]:
    """Layers of pulls and builds that never came to an end: the next try would have used them."""
    snapshots, found = images.layers.snapshots, []
    old = [(chain_id, size) for chain_id, committed_at, size in snapshots.walk() if committed_at < limit]
    async for chain_id, size in _unnamed(old, images.referenced_chains):
        done = repair and snapshots.remove(chain_id)
        found.append(ImageProblem("stray", chain_id, "no image or build record names this layer", done, size))
    return found


async def _check_blob(images: Images, digest: str, image: str, repair: bool, verify: bool) -> ImageProblem | None:
    store = images.store
    if not store.exists(digest):
        return ImageProblem("missing", digest, f"a blob of {image}; pull the image again")
    if verify and not await run_in_thread(lambda: store.verify(digest)):
        done = repair and store.delete(digest) > 0
        return ImageProblem("damaged", digest, f"a blob of {image}; removed blobs come back with a pull", done)
    return None


async def _check_layer(
    images: Images, layer: Layer, parent: str | None, image: str, repair: bool
) -> ImageProblem | None:
    if images.layers.snapshots.size(layer.chain_id) is not None:
        return None
    repaired = False
    if repair and images.store.exists(layer.descriptor.digest):
        try:
            with images.store.open(layer.descriptor.digest) as blob:
                await images.layers.unpack(blob, layer.descriptor, layer.diff_id, parent)
            repaired = True
        except (SampanError, OSError) as error:
            return ImageProblem("missing", layer.chain_id, f"a layer of {image}; unpacking it again: {error}")
    return ImageProblem("missing", layer.chain_id, f"a layer of {image}, not unpacked", repaired)
