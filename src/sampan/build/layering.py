"""Making one layer: an active snapshot that a step fills, its difference stored, the snapshot committed."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from threading import Event

from ..cas.threads import run_in_thread
from ..engine.commit import Chunks
from ..engine.engine import Engine
from ..errors import SampanError
from ..image.layers import Layer, chain_on
from ..oci.manifest import Descriptor
from ..tree.directories import Directories
from ..tree.walk import walk
from .result import Result
from .sources import DiskTree, SourceTree


class Growing:
    """A step's writable tree; `path` is where it is mounted."""

    def __init__(self, engine: Engine, base: Result, mapped: bool) -> None:
        self._engine = engine
        self._mapped = mapped
        self._base = base
        self.key = f"build-{secrets.token_hex(12)}"
        self.path = ""
        self._stopped = Event()
        self._stored = ""
        """The digest of a blob that no layer is made of yet."""

    def open(self) -> None:
        """Make and mount it."""
        self._engine.snapshots.prepare(self.key, self._base.chain_id or None)
        self.path = self._engine.snapshots.mount(self.key, self._mapped)

    async def finish(self, epoch: int | None = None) -> Result:
        """Store what changed as a layer upon the base; with `epoch` nothing in it is younger than that second."""
        snapshots = self._engine.snapshots
        upper = snapshots.upper(self.key)
        if epoch is not None and upper is not None:
            await run_in_thread(lambda: clamp(upper, epoch))
        descriptor, diff_id = await run_in_thread(self._store, self._stopped.set)
        self._stored = ""
        snapshots.unmount(self.key)
        chain = chain_on(self._base.chain_id or None, diff_id)
        if snapshots.exists(chain):
            snapshots.remove(self.key)
        else:
            snapshots.commit(self.key, chain)
        size = snapshots.usage(chain).bytes
        return Result((*self._base.layers, Layer(descriptor, diff_id, chain, size)))

    def _store(self) -> tuple[Descriptor, str]:
        found = self._engine.images.layers.store_blob(Chunks(self._changes()))
        self._stored = found[0].digest
        return found

    def _changes(self) -> Iterator[bytes]:
        """The difference, until nobody wants it any more."""
        for chunk in self._engine.snapshots.diff(self.key):
            if self._stopped.is_set():
                raise SampanError("the build was cancelled")
            yield chunk

    def discard(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        self._engine.snapshots.unmount(self.key)
        self._engine.snapshots.remove(self.key)
        if self._stored:
            self._engine.images.release((), (self._stored,))


def clamp(path: str, epoch: int) -> None:
    """Set back the time of all that is younger, the directory itself included (SOURCE_DATE_EPOCH)."""
    limit = epoch * 1_000_000_000
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with Directories(root) as directories:
            for node in walk(directories):
                if node.stat.st_mtime_ns > limit:
                    os.utime(node.name, ns=(limit, limit), dir_fd=node.directory, follow_symlinks=False)
        if os.fstat(root).st_mtime_ns > limit:
            os.utime(root, ns=(limit, limit))
    finally:
        os.close(root)


@asynccontextmanager
async def growing(engine: Engine, base: Result, mapped: bool = False) -> AsyncIterator[Growing]:
    """A writable tree on `base`, perhaps with the owners of a user namespace; dropped unless `finish` made a layer."""
    tree = Growing(engine, base, mapped)
    try:
        tree.open()
        yield tree
    finally:
        tree.discard()


@asynccontextmanager
async def shown(engine: Engine, result: Result) -> AsyncIterator[str]:
    """The path where a result's tree can be read."""
    if result.directory:
        yield result.directory
        return
    assert result.files is None, "a context is spread by its session"
    if not result.layers:
        async with growing(engine, result) as empty:
            yield empty.path
        return
    path = engine.snapshots.mount(result.chain_id)
    try:
        yield path
    finally:
        engine.snapshots.unmount(result.chain_id)


@asynccontextmanager
async def source_tree(engine: Engine, result: Result) -> AsyncIterator[SourceTree]:
    """A result's tree for those who need no path."""
    if result.files is not None:
        yield result.files
        return
    async with shown(engine, result) as path:
        with DiskTree(path, keep_owner=not result.directory) as tree:
            yield tree
