"""Uploads under way: bytes in a file, the digest computed as they come."""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from ...cas.compression import CHUNK
from ...cas.threads import run_in_thread
from ...linux.fds import write_all
from ...oci import digest as digests
from . import problems
from .storage import RegistryStorage

_ID = re.compile(r"[0-9a-f]{32}")


class Uploads:
    """All uploads of a registry. They survive a restart: the digest is then computed again."""

    def __init__(self, storage: RegistryStorage) -> None:
        self._storage = storage
        self._hashers: dict[str, tuple[hashlib._Hash, int]] = {}
        self._busy: set[str] = set()

    def start(self) -> str:
        """A new upload's ID."""
        upload = uuid.uuid4().hex
        os.close(os.open(self._path(upload), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))
        self._hashers[upload] = (hashlib.sha256(), 0)
        return upload

    def size(self, upload: str) -> int:
        """Bytes so far; raises Problem for an unknown upload."""
        try:
            return os.stat(self._path(upload)).st_size
        except FileNotFoundError:
            raise problems.upload_unknown(upload) from None

    async def append(self, upload: str, body: AsyncIterator[bytes]) -> int:
        """Append a body; returns the size. What came in before a connection broke stays."""
        with self._alone(upload):
            handle = os.open(self._path(upload), os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                pending = bytearray()
                try:
                    async for chunk in body:
                        pending += chunk
                        if len(pending) >= CHUNK:
                            await self._write(upload, handle, pending)
                finally:
                    await self._write(upload, handle, pending)
            finally:
                os.close(handle)
        return self.size(upload)

    @contextmanager
    def _alone(self, upload: str) -> Iterator[None]:
        """One request at a time: who still writes when it is finished would change a blob that was verified."""
        self.size(upload)
        if upload in self._busy:
            raise problems.Problem(409, "BLOB_UPLOAD_INVALID", "another request is at work on this upload")
        self._busy.add(upload)
        try:
            yield
        finally:
            self._busy.discard(upload)

    async def _write(self, upload: str, handle: int, pending: bytearray) -> None:
        data = bytes(pending)
        pending.clear()
        await run_in_thread(lambda: self._write_hashed(upload, handle, data))

    def _write_hashed(self, upload: str, handle: int, data: bytes) -> None:
        hasher, hashed = self._hashers.pop(upload, (hashlib.sha256(), 0))
        write_all(handle, data)
        hasher.update(data)
        self._hashers[upload] = (hasher, hashed + len(data))

    async def finish(self, upload: str, name: str, digest: str) -> None:
        """Verify, make durable and give the blob to the repository; raises Problem, and forgets it, when wrong."""
        with self._alone(upload):
            size = self.size(upload)
            actual = await run_in_thread(lambda: self._digest(upload, digest, size))
            if actual == digest:
                await run_in_thread(lambda: self._commit(upload, name, digest))
                return
        self.cancel(upload)
        raise problems.digest_invalid(f"content is {actual}")

    def _digest(self, upload: str, wanted: str, size: int) -> str:
        hasher, hashed = self._hashers.pop(upload, (hashlib.sha256(), -1))
        if hashed == size and digests.algorithm(wanted) == "sha256":
            return f"sha256:{hasher.hexdigest()}"
        algorithm = digests.algorithm(wanted)
        with open(self._path(upload), "rb") as file:
            return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"

    def _commit(self, upload: str, name: str, digest: str) -> None:
        self._storage.store.adopt(self._path(upload), digest)
        self._storage.link_blob(name, digest)

    def cancel(self, upload: str) -> None:
        """Drop an upload; raises Problem for an unknown one."""
        with self._alone(upload):
            self._hashers.pop(upload, None)
            os.unlink(self._path(upload))

    def drop_stale(self, older_than: float) -> int:
        """Remove uploads that nothing was written to for so many seconds; returns how many."""
        limit, count = time.time() - older_than, 0
        for entry in os.scandir(self._storage.uploads):
            if entry.name not in self._busy and entry.stat().st_mtime < limit:
                os.unlink(entry.path)
                self._hashers.pop(entry.name, None)
                count += 1
        return count

    def _path(self, upload: str) -> str:
        if not _ID.fullmatch(upload):
            raise problems.upload_unknown(upload)
        return f"{self._storage.uploads}/{upload}"
