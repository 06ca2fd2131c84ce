"""The store of blobs.

    content/                 an OCI image layout that other tools can read
      oci-layout
      blobs/sha256/<hex>     verified, durable, never changed
      partial/<algorithm>-<hex>   downloads that were interrupted; the bytes so far, from the start
    tmp/                     blobs whose digest is not known in advance; emptied at start

A blob is written beside, fsynced, renamed, and its directory fsynced, before `commit` returns: whoever then notes the
digest in the database points at durable bytes (S31).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from .. import faults
from ..errors import Conflict, DataLoss, InvalidArgument, NotFound
from ..linux.libc import start_writeback
from ..oci import digest as digests

_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_READ_SIZE = 1 << 20
_WRITEBACK = 8 << 20
_TEMPORARY = "blob-"
_PARTIAL_AGE = 7 * 24 * 3600.0


class Store:
    """Blobs by digest. Methods may be called from any thread."""

    def __init__(self, content_dir: str, tmp_dir: str) -> None:
        self._blobs = f"{content_dir}/blobs"
        self._partial = f"{content_dir}/partial"
        self._tmp = tmp_dir
        self._leased: Counter[str] = Counter()
        for directory in (content_dir, f"{self._blobs}/sha256", self._partial, tmp_dir):
            os.makedirs(directory, mode=0o710, exist_ok=True)
        if not os.path.exists(f"{content_dir}/oci-layout"):
            with open(f"{content_dir}/oci-layout", "wb") as layout:
                layout.write(_LAYOUT)

    @property
    def index_path(self) -> str:
        """The layout's index.json, which is its user's to write."""
        return f"{os.path.dirname(self._blobs)}/index.json"

    def path(self, digest: str) -> str:
        """Where the blob is or would be."""
        digests.parse(digest)
        return f"{self._blobs}/{digests.algorithm(digest)}/{digests.encoded(digest)}"

    def exists(self, digest: str) -> bool:
        """Whether the blob is there, whole."""
        return os.path.exists(self.path(digest))

    def size(self, digest: str) -> int:
        """Size in bytes; raises NotFound."""
        try:
            return os.stat(self.path(digest)).st_size
        except FileNotFoundError:
            raise NotFound(f"blob {digest} not found") from None

    def modified(self, digest: str) -> float:
        """When the blob was written, in seconds since the epoch; 0 when it is gone."""
        try:
            return os.stat(self.path(digest)).st_mtime
        except FileNotFoundError:
            return 0.0

    def open(self, digest: str) -> BinaryIO:
        """The blob, open for reading, unbuffered; raises NotFound."""
        try:
            return open(self.path(digest), "rb", buffering=0)
        except FileNotFoundError:
            raise NotFound(f"blob {digest} not found") from None

    def read(self, digest: str, limit: int) -> bytes:
        """A small blob's bytes, verified; raises InvalidArgument above `limit` bytes, DataLoss when damaged."""
        if self.size(digest) > limit:
            raise InvalidArgument(f"blob {digest} is larger than {limit} bytes")
        with self.open(digest) as blob:
            data = blob.read()
        if hashlib.new(digests.algorithm(digest), data).hexdigest() != digests.encoded(digest):
            raise DataLoss(f"blob {digest} is damaged")
        return data

    def add(self, data: bytes, expected: str | None = None) -> str:
        """Store a small blob and return its digest; one that is there, whole, is durable already."""
        digest = expected or digests.of_bytes(data)
        if self._has(digest, data):
            return digest
        with self.writer(digest) as writer:
            writer.write(data)
            return writer.commit()[0]

    def _has(self, digest: str, data: bytes) -> bool:
        try:
            with open(self.path(digest), "rb", buffering=0) as blob:
                os.utime(blob.fileno())  # as young as if it were written now
                return blob.read() == data
        except FileNotFoundError:
            return False

    def adopt(self, path: str, digest: str) -> None:
        """Make a verified file of the same file system a blob, durably."""
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        target = self.path(digest)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(path, target)
        _fsync_directory(os.path.dirname(target))

    def writer(self, expected: str | None = None, *, resumable: bool = False) -> Writer:
        """A writer of one blob.

        With `resumable` the bytes survive a crash or `close()`, and the next resumable writer of the same digest
        starts at `offset`. Two at once: the second raises Conflict.
        """
        if resumable:
            if expected is None:
                raise ValueError("a resumable blob needs its digest")
            return Writer(self, *_open_partial(self.partial_path(expected)), expected, resumable=True)
        handle, path = tempfile.mkstemp(prefix=_TEMPORARY, dir=self._tmp)
        return Writer(self, handle, path, expected, resumable=False)

    def partial_path(self, digest: str) -> str:
        """Where an interrupted download keeps its bytes."""
        digests.parse(digest)
        return f"{self._partial}/{digest.replace(':', '-')}"

    def list_partial(self) -> list[tuple[str, int]]:
        """Digest and bytes of every interrupted download."""
        found = []
        for entry in os.scandir(self._partial):
            digest = entry.name.replace("-", ":", 1)
            if digests.is_digest(digest) and (size := _size(entry)) is not None:
                found.append((digest, size))
        return found

    def drop_partials(self, older_than: float) -> int:
        """Remove partials last written before `older_than` (seconds since the epoch); returns the bytes freed."""
        freed = 0
        for digest, size in self.list_partial():
            path = self.partial_path(digest)
            try:
                if os.stat(path).st_mtime < older_than:
                    os.unlink(path)
                    freed += size
            except FileNotFoundError:
                continue  # it is complete
        return freed

    def sweep(self) -> None:
        """At start: remove what a crash left half written, and downloads that nobody resumed for a week."""
        for name in os.listdir(self._tmp):
            if name.startswith(_TEMPORARY):
                os.unlink(f"{self._tmp}/{name}")
        self.drop_partials(time.time() - _PARTIAL_AGE)

    def delete(self, digest: str) -> int:
        """Remove a blob; returns the bytes freed, 0 when it was not there."""
        try:
            size = os.stat(self.path(digest)).st_size
            os.unlink(self.path(digest))
        except FileNotFoundError:
            return 0
        return size

    def walk(self) -> Iterator[tuple[str, int]]:
        """Digest and size of every blob."""
        for algorithm in os.listdir(self._blobs):
            with os.scandir(f"{self._blobs}/{algorithm}") as entries:
                for entry in entries:
                    digest = f"{algorithm}:{entry.name}"
                    if digests.is_digest(digest) and (size := _size(entry)) is not None:
                        yield digest, size

    @contextmanager
    def lease(self, wanted: Iterable[str]) -> Iterator[None]:
        """Hold off `collect` for blobs that no database row names yet."""
        held = list(wanted)
        self._leased.update(held)
        try:
            yield
        finally:
            self._leased.subtract(held)

    def collect(self, referenced: set[str]) -> int:
        """Remove every blob that is neither referenced nor leased; returns the bytes freed."""
        freed = 0
        for digest, _ in list(self.walk()):
            if digest not in referenced and self._leased[digest] <= 0:
                freed += self.delete(digest)
        return freed

    def collect_one(self, digest: str) -> int:
        """Remove one blob unless it is leased; returns the bytes freed."""
        return 0 if self._leased[digest] > 0 else self.delete(digest)

    def verify(self, digest: str) -> bool:
        """Read a blob and compare it with its digest."""
        hasher = hashlib.new(digests.algorithm(digest))
        with self.open(digest) as blob:
            while chunk := blob.read(_READ_SIZE):
                hasher.update(chunk)
        return hasher.hexdigest() == digests.encoded(digest)


class Writer:
    """Writes one blob, hashing as it goes. As a context manager it cleans up what was not committed.

    `offset` is the number of bytes so far: where a resumed download continues. A writer that is closed without
    `commit` leaves nothing behind, or its bytes for the next try when it is resumable; after `abort` nothing is left.
    """

    def __init__(self, store: Store, handle: int, path: str, expected: str | None, *, resumable: bool) -> None:
        self._store = store
        self._handle = handle
        self._path = path
        self._expected = expected
        self._resumable = resumable
        self._hasher = hashlib.new(digests.algorithm(expected) if expected else "sha256")
        self.offset = self._on_its_way = self._hash_what_is_there()

    def _hash_what_is_there(self) -> int:
        offset = 0
        while chunk := os.pread(self._handle, _READ_SIZE, offset):
            self._hasher.update(chunk)
            offset += len(chunk)
        os.lseek(self._handle, offset, os.SEEK_SET)
        return offset

    @property
    def path(self) -> str:
        """The file under way; others may read up to `offset` while it grows."""
        return self._path

    def write(self, data: bytes | memoryview) -> None:
        """Append; raises OSError (ENOSPC) with the bytes before it kept."""
        faults.point("cas.write")
        view = memoryview(data)
        while view:
            written = os.write(self._handle, view)
            self._hasher.update(view[:written])
            self.offset += written
            view = view[written:]
        if self.offset - self._on_its_way >= _WRITEBACK:
            self._start_writeback()

    def _start_writeback(self) -> None:
        """The disk works while more bytes come; what it fails with is told by the fsync of `commit`."""
        with suppress(OSError):
            start_writeback(self._handle, self._on_its_way, self.offset - self._on_its_way)
        self._on_its_way = self.offset

    def restart(self) -> None:
        """Forget the bytes so far: the server does not serve ranges."""
        os.ftruncate(self._handle, 0)
        os.lseek(self._handle, 0, os.SEEK_SET)
        self._hasher = hashlib.new(self._hasher.name)
        self.offset = self._on_its_way = 0

    def commit(self) -> tuple[str, int]:
        """Verify and make durable; returns digest and size. Raises DataLoss, and leaves nothing, on a wrong digest."""
        digest = f"{self._hasher.name}:{self._hasher.hexdigest()}"
        if self._expected is not None and digest != self._expected:
            self.abort()
            raise DataLoss(f"filesystem layer verification failed for digest {self._expected}")
        faults.point("cas.commit")
        os.fsync(self._handle)
        target = self._store.path(digest)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(self._path, target)
        faults.point("cas.renamed")
        _fsync_directory(os.path.dirname(target))
        self._close()
        return digest, self.offset

    def abort(self) -> None:
        """Drop the bytes."""
        if self._handle >= 0:
            try:
                os.unlink(self._path)
            except FileNotFoundError:
                pass  # renamed already: what failed behind that is the error to be told
            self._close()

    def close(self) -> None:
        """Stop writing: a resumable blob keeps its bytes, another is dropped. After `commit` this does nothing."""
        if self._resumable:
            self._close()
        else:
            self.abort()

    def _close(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _size(entry: os.DirEntry[str]) -> int | None:
    """None for a file that went while the directory was read, perhaps in a thread."""
    try:
        return entry.stat().st_size
    except FileNotFoundError:
        return None


def _open_partial(path: str) -> tuple[int, str]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise Conflict(f"{os.path.basename(path)} is being downloaded already") from None
    return handle, path


def _fsync_directory(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
