"""Layers on their way into the store: hash, decompress, compress and unpack as one pipeline of threads.

    source ─ read-ahead thread: read, store the blob (compressing a plain tar), hash ─► second thread: unpack
    members that are made here ─ thread: files, and the archive of them ─► second thread: hash, compress, store the blob

The event loop begins and commits; nothing is committed before the whole stream was read and its digest is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

from msgspec import Struct

from ..cas import Store
from ..cas.compression import (
    CHUNK,
    DEFAULT_LIMITS,
    Compressor,
    Decompressed,
    Hashed,
    Limits,
    Peekable,
    Pipe,
    Readable,
    ReadAhead,
    detect,
)
from ..cas.threads import run_in_thread
from ..errors import DataLoss
from ..oci import digest as digests
from ..oci.manifest import (
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    Descriptor,
)
from ..tree.extract import Members

Write = Callable[[bytes], None]


class Unpacking(Protocol):
    """One layer on its way into the snapshots. `apply` runs in a thread, the rest on the event loop's."""

    def apply(self, stream: Readable) -> int:
        """Unpack a tar stream; returns its bytes."""
        ...

    def make(self, members: Members) -> int:
        """As `apply`, of members that need not come from an archive."""
        ...

    def commit(self, chain_id: str) -> None:
        """Make it the snapshot of the chain ID, durably; where another was quicker, that one is kept."""
        ...

    def abort(self) -> None:
        """Leave nothing behind."""
        ...


class Snapshots(Protocol):
    """What images need of storage; the engine supplies it. Called on the event loop's thread."""

    def size(self, chain_id: str) -> int | None:
        """Bytes of a layer that is unpacked, None when it is not there."""
        ...

    def begin(self, parent: str | None) -> Unpacking:
        """Begin a layer on that of the chain ID `parent`."""
        ...

    def remove(self, chain_id: str) -> bool:
        """Remove a committed layer; False while a container or another layer stands on it, or when there is none."""
        ...

    def walk(self) -> Iterable[tuple[str, float, int]]:
        """Chain ID, time of its commit (seconds since the epoch) and bytes; children first.

        Layers that containers stand on, or steps of a build, are left out.
        """
        ...


@runtime_checkable
class Interruptible(Protocol):
    """A source that may block in `read`: `interrupt` makes it raise instead."""

    def interrupt(self) -> None: ...


class Layer(Struct, frozen=True):
    """One layer of an image in the store; `size` is unpacked bytes."""

    descriptor: Descriptor
    diff_id: str
    chain_id: str
    size: int


class Layers:
    """Brings layers into the blob store and the snapshots."""

    def __init__(self, store: Store, snapshots: Snapshots, limits: Limits = DEFAULT_LIMITS) -> None:
        self.store = store
        self.snapshots = snapshots
        self.limits = limits

    def store_blob(self, stream: Readable) -> tuple[Descriptor, str]:
        """Store a layer whose snapshot exists already; returns its descriptor and its diff ID. Run it in a thread.

        A compressed stream is kept byte by byte; a plain tar is kept as gzip.
        """
        stored = Stored(stream, self.store, self.limits)
        try:
            decoded = Hashed(Decompressed(stored, self.limits))
            decoded.drain()
            return stored.finish(), decoded.digest
        finally:
            stored.close()

    async def ingest(self, stream: Readable, parent: str | None) -> Layer:
        """Store and unpack a layer whose digests are not known yet. `parent` is the chain ID below."""
        return await self._unpack(stream, parent, _Ingestion(self, stream))

    async def load(self, source: Readable, diff_id: str, parent: str | None) -> Layer:
        """Store and unpack a layer of an archive that names its diff ID; raises DataLoss when it is another."""
        return await self._unpack(source, parent, _Ingestion(self, source, expected=diff_id))

    async def unpack(self, source: Readable, descriptor: Descriptor, diff_id: str, parent: str | None) -> Layer:
        """Unpack a layer whose blob is in the store or on its way there; raises DataLoss when it is not `diff_id`.

        `source` yields the blob's bytes, perhaps while they still arrive.
        """
        return await self._unpack(source, parent, _Ingestion(self, source, descriptor, diff_id))

    async def make(
        self, members: Callable[[Write], Members], parent: str | None, stored: Callable[[str], object]
    ) -> Layer:
        """Make a layer of members that come from no archive; they write theirs, chunk by chunk, to what they are given.

        Nothing is read again: each chunk goes into a file and into the blob. `stored` gets the blob's digest as soon as
        it is there, for who must remove it where no layer comes of it.
        """
        unpacking, pipe = self.snapshots.begin(parent), Pipe()
        try:
            making = _Making(self, pipe, stored)
            size, descriptor, diff_id = await run_in_thread(lambda: making.run(unpacking, members), pipe.interrupt)
            chain_id = chain_on(parent, diff_id)
            unpacking.commit(chain_id)
        except BaseException:
            unpacking.abort()
            raise
        return Layer(descriptor, diff_id, chain_id, size)

    async def _unpack(self, source: Readable, parent: str | None, ingestion: _Ingestion) -> Layer:
        unpacking = self.snapshots.begin(parent)
        interrupt = source.interrupt if isinstance(source, Interruptible) else None
        try:
            size = await run_in_thread(lambda: ingestion.run(unpacking), interrupt)
            descriptor, diff_id = ingestion.result()
            chain_id = chain_on(parent, diff_id)
            unpacking.commit(chain_id)
        except BaseException:
            unpacking.abort()
            raise
        finally:
            ingestion.close()
        return Layer(descriptor, diff_id, chain_id, size)


class _Making:
    """Files in one thread, the archive of them in another. `run` belongs in a thread."""

    def __init__(self, layers: Layers, pipe: Pipe, stored: Callable[[str], object]) -> None:
        self._layers = layers
        self._pipe = pipe
        self._stored = stored

    def run(self, unpacking: Unpacking, members: Callable[[Write], Members]) -> tuple[int, Descriptor, str]:
        """Bytes of the files, the blob, the diff ID."""
        with ThreadPoolExecutor(1, "layer-blob") as beside:
            storing = beside.submit(self._store)
            try:
                size = unpacking.make(members(self._pipe.write))
                self._pipe.end()
            except BrokenPipeError:
                storing.result()  # raises what has ended it
                raise
            except BaseException as error:
                self._pipe.fail(error)
                raise
            return size, *storing.result()

    def _store(self) -> tuple[Descriptor, str]:
        try:
            found = self._layers.store_blob(self._pipe)
        finally:
            self._pipe.abandon()
        self._stored(found[0].digest)
        return found


class _Ingestion:
    """One run of the pipeline: what it stores, what it finds out. `run` belongs in a thread."""

    def __init__(
        self, layers: Layers, source: Readable, descriptor: Descriptor | None = None, expected: str = ""
    ) -> None:
        self._layers = layers
        self._source = source
        self._descriptor = descriptor
        self._expected = expected
        self._stored: Stored | None = None
        self._diff_id = ""

    def run(self, unpacking: Unpacking) -> int:
        """Read it all, store it where it has no descriptor yet, unpack it; returns its bytes."""
        layers, source = self._layers, self._source
        if self._descriptor is None:
            source = self._stored = Stored(source, layers.store, layers.limits)
        hashed = Hashed(Decompressed(source, layers.limits))
        with ReadAhead(hashed) as stream:
            size = unpacking.apply(stream)
            stream.drain()
        self._diff_id = hashed.digest
        if self._expected and hashed.digest != self._expected:
            raise DataLoss(f"layers from manifest don't match image configuration: {self._expected}")
        if self._stored is not None:
            self._descriptor = self._stored.finish()
        return size

    def result(self) -> tuple[Descriptor, str]:
        """The layer's descriptor and diff ID."""
        assert self._descriptor is not None
        return self._descriptor, self._diff_id

    def close(self) -> None:
        """Drop a blob that was not finished."""
        if self._stored is not None:
            self._stored.close()


def chain_on(parent: str | None, diff_id: str) -> str:
    """The chain ID of a layer upon `parent`."""
    return digests.of_bytes(f"{parent} {diff_id}".encode()) if parent else diff_id


class Stored:
    """Passes a stream on and keeps it as a blob: its own bytes when compressed, gzip otherwise."""

    def __init__(self, source: Readable, store: Store, limits: Limits) -> None:
        peekable = Peekable(source)
        compression = detect(peekable.peek(6))
        self._media_type = _LAYER_TYPES.get(compression, OCI_LAYER_GZIP)
        self._compressor = None if compression in _LAYER_TYPES else Compressor()
        self._source: Readable = Decompressed(peekable, limits) if self._compressor else peekable
        self._writer = store.writer()

    def read(self, size: int = CHUNK) -> bytes:
        """Up to `size` bytes."""
        chunk = self._source.read(size)
        self._writer.write(self._compressor.compress(chunk) if self._compressor else chunk)
        return chunk

    def finish(self) -> Descriptor:
        """Read what is left, make the blob durable and describe it."""
        while self.read():
            pass
        if self._compressor:
            self._writer.write(self._compressor.flush())
        digest, size = self._writer.commit()
        return Descriptor(self._media_type, digest, size)

    def close(self) -> None:
        """Drop the blob unless it is finished."""
        self._writer.close()


_LAYER_TYPES = {"gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}
"""Compressions that a layer's media type can name; xz and bzip2 are decompressed and kept as gzip."""
