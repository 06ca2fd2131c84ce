"""Garbage collection while the registry serves."""

from __future__ import annotations

import asyncio
import functools
import os
import time
from dataclasses import dataclass

from ...cas.threads import run_in_thread
from ...errors import SampanError
from ...oci import manifest as manifests
from ...oci.manifest import Index
from .storage import RegistryStorage


@dataclass(frozen=True)
class Collected:
    """What a run removed; `freed` in bytes."""

    blobs: int = 0
    freed: int = 0


def referenced(storage: RegistryStorage, name: str) -> set[str]:
    """Every digest that a manifest of the repository needs, the manifests included."""
    wanted: set[str] = set()
    for digest in storage.manifests(name):
        wanted.add(digest)
        kept = storage.manifest(name, digest)
        if kept is None:
            continue
        try:
            wanted |= parts(kept[0], kept[1])
        except SampanError:
            continue  # not one of ours to understand; its parts age like any other
    return wanted


def parts(data: bytes, media_type: str) -> set[str]:
    """Digests of what a manifest is made of; layers with URLs are stored elsewhere."""
    document = manifests.parse(data, media_type)
    if isinstance(document, Index):
        return {entry.digest for entry in document.manifests}
    return {document.config.digest, *(layer.digest for layer in document.layers if not layer.urls)}


async def collect(storage: RegistryStorage, grace: float, lock: asyncio.Lock) -> Collected:
    """Remove blobs that no manifest needs and nobody asked for within `grace` seconds.

    `lock` is what pushes of manifests hold: between the look at the manifests and the removal none is accepted.
    Repositories are looked at one by one, so that no push waits for long.
    """
    limit = time.time() - grace
    for name in storage.names():
        async with lock:
            wanted = await run_in_thread(functools.partial(referenced, storage, name))
            for digest in storage.blobs(name):
                link = f"{storage.repositories}/{name}/_blobs/{digest}"
                if digest not in wanted and os.stat(link).st_mtime < limit:
                    storage.unlink_blob(name, digest)
        await asyncio.sleep(0)
    async with lock:
        unlinked = await run_in_thread(lambda: _unlinked(storage))
        # Here no link comes in between: who links a blob has just touched it.
        old = {digest: size for digest, size in unlinked.items() if storage.blob_touched_at(digest) < limit}
        for digest in old:
            storage.store.delete(digest)
        return Collected(len(old), sum(old.values()))


def _unlinked(storage: RegistryStorage) -> dict[str, int]:
    """Blobs that no repository has, with their sizes."""
    linked = {digest for name in storage.names() for digest in [*storage.blobs(name), *storage.manifests(name)]}
    return {digest: size for digest, size in storage.store.walk() if digest not in linked}
