"""Layers on their way into the store: hash, decompress, compress and unpack as one pipeline of threads.

    source ─ read-ahead thread: read, store the blob (compressing a plain tar), hash ─► caller's thread: unpack

Nothing here touches the database: these functions run in worker threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..cas import Store
from ..cas.compression import (
    CHUNK,
    DEFAULT_LIMITS,
    Compressor,
    Decompressed,
    Hashed,
    Limits,
    Peekable,
    Readable,
    ReadAhead,
    detect,
)
from ..errors import DataLoss
from ..oci import digest as digests
from ..oci.manifest import (
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    Descriptor,
)


class Snapshots(Protocol):
    """What images need of storage; the engine supplies it. Called from worker threads."""

    def exists(self, chain_id: str) -> bool: ...

    def unpack(self, chain_id: str, parent: str | None, stream: Readable) -> int:
        """Unpack a tar stream as a new committed layer; returns its bytes. On failure nothing is left."""
        ...

    def remove(self, chain_id: str) -> bool:
        """Remove a committed layer; False while a container or another layer stands on it, or when there is none."""
        ...


@dataclass(frozen=True)
class Layer:
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
        """Store a layer whose digests are not known yet; returns its descriptor and its diff ID.

        A compressed stream is kept byte by byte; a plain tar is kept as gzip.
        """
        stored = Stored(stream, self.store, self.limits)
        try:
            decoded = Hashed(Decompressed(stored, self.limits))
            decoded.drain()
            return stored.finish(), decoded.digest
        finally:
            stored.close()

    def ingest(self, stream: Readable, parent: str | None) -> Layer:
        """Store and unpack a layer whose digests are not known yet. `parent` is the chain ID below."""
        descriptor, diff_id = self.store_blob(stream)
        with self.store.open(descriptor.digest) as blob:
            return self.unpack(blob, descriptor, diff_id, parent)

    def load(self, source: Readable, diff_id: str, parent: str | None) -> Layer:
        """Store and unpack, in one pass, a layer of an archive that names its diff ID."""
        chain_id = chain_on(parent, diff_id)
        stored = Stored(source, self.store, self.limits)
        try:
            verified = Verified(Decompressed(stored, self.limits), diff_id)
            size = self._unpack(chain_id, parent, verified)
            return Layer(stored.finish(), diff_id, chain_id, size)
        finally:
            stored.close()

    def unpack(self, source: Readable, descriptor: Descriptor, diff_id: str, parent: str | None) -> Layer:
        """Unpack a layer whose digests are known; raises DataLoss when the content is not `diff_id`.

        `source` yields the blob's bytes, perhaps while they still arrive.
        """
        chain_id = chain_on(parent, diff_id)
        size = self._unpack(chain_id, parent, Verified(Decompressed(source, self.limits), diff_id))
        return Layer(descriptor, diff_id, chain_id, size)

    def _unpack(self, chain_id: str, parent: str | None, verified: Verified) -> int:
        if self.snapshots.exists(chain_id):
            verified.drain()
            return -1
        with ReadAhead(verified) as stream:
            size = self.snapshots.unpack(chain_id, parent, stream)
            try:
                stream.drain()
            except DataLoss:
                self.snapshots.remove(chain_id)
                raise
        return size


def chain_on(parent: str | None, diff_id: str) -> str:
    """The chain ID of a layer upon `parent`."""
    return digests.of_bytes(f"{parent} {diff_id}".encode()) if parent else diff_id


class Verified(Hashed):
    """A stream whose end comes only when its digest is right, so that nothing wrong is ever committed."""

    def __init__(self, source: Readable, expected: str) -> None:
        super().__init__(source)
        self._expected = expected

    def read(self, size: int = CHUNK) -> bytes:
        """Up to `size` bytes; raises DataLoss at the end of wrong content."""
        chunk = super().read(size)
        if not chunk and self.digest != self._expected:
            raise DataLoss(f"layers from manifest don't match image configuration: {self._expected}")
        return chunk


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
