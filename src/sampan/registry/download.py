"""Downloads of blobs into the store: resumed, verified, shared by whoever wants the same blob.

registry ─► Download.run (loop): append to the partial file ─► store
                 └─ condition ─► DownloadReader (any number of threads): decompress, unpack while bytes arrive
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Literal

from ..cas import Store, Writer
from ..cas.compression import CHUNK
from ..cas.threads import run_in_thread
from ..errors import DataLoss, SampanError
from ..oci.manifest import Descriptor
from .failures import RegistryFailure, Unreachable
from .shared import KeyedLocks

if TYPE_CHECKING:
    from .repository import Repository


State = Literal["waiting", "downloading", "retrying", "verifying", "complete", "failed"]


class Download:
    """One blob on its way. `current` counts its bytes so far, those of an earlier try included."""

    def __init__(self, store: Store, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        self.current = 0
        self.state: State = "waiting"
        self.retry_at = 0.0
        self._store = store
        self._condition = threading.Condition()
        self._error: BaseException | None = None
        self._path = ""
        self._adopt()

    @property
    def complete(self) -> bool:
        """Whether the blob is in the store."""
        return self.state == "complete"

    def _adopt(self) -> None:
        """Take a blob that is in the store already."""
        if self._store.exists(self.descriptor.digest):
            self._finish(self._store.path(self.descriptor.digest))

    async def run(self, repository: Repository, slots: asyncio.Semaphore, locks: KeyedLocks) -> None:
        """Fetch it, or wait until somebody else has; raises what made it fail in the end, and tells the readers."""
        try:
            async with locks.hold(f"download {self.descriptor.digest}"), slots:
                self._adopt()
                if self.complete:
                    return
                await repository.transport.retrying(lambda: self._attempt(repository), self._will_retry)
        except BaseException as error:
            self._fail(error)
            raise

    def _will_retry(self, delay: float) -> None:
        self.state, self.retry_at = "retrying", time.monotonic() + delay

    async def _attempt(self, repository: Repository) -> None:
        with self._store.writer(self.descriptor.digest, resumable=True) as writer:
            self.state = "downloading"
            self._advance(writer)
            if writer.offset < self.descriptor.size:
                await self._receive(repository, writer)
            self.state = "verifying"
            if writer.offset != self.descriptor.size:
                writer.abort()
                raise DataLoss(f"{self.descriptor.digest} has {writer.offset} bytes instead of {self.descriptor.size}")
            await run_in_thread(writer.commit)
        self._finish(self._store.path(self.descriptor.digest))

    async def _receive(self, repository: Repository, writer: Writer) -> None:
        try:
            async with repository.open_blob(self.descriptor.digest, writer.offset) as (chunks, start):
                if start != writer.offset:
                    writer.restart()
                    if start:
                        raise Unreachable(f"{self.descriptor.digest}: the registry sent another range than was asked")
                await self._append(chunks, writer)
        except RegistryFailure as error:
            if error.status == 416:  # what we have is no beginning of this blob
                writer.restart()
                raise Unreachable(str(error)) from error
            raise

    async def _append(self, chunks: AsyncIterator[bytes], writer: Writer) -> None:
        limit = self.descriptor.size
        pending = bytearray()
        async for chunk in chunks:
            pending += chunk
            if writer.offset + len(pending) > limit:
                writer.abort()
                raise DataLoss(f"{self.descriptor.digest} has more than {limit} bytes")
            if len(pending) >= CHUNK:
                await self._write(writer, bytes(pending))
                pending.clear()
        await self._write(writer, bytes(pending))
        if writer.offset < limit:
            raise Unreachable(f"{self.descriptor.digest}: unexpected EOF")

    async def _write(self, writer: Writer, data: bytes) -> None:
        await run_in_thread(lambda: writer.write(data))
        self._advance(writer)

    def _advance(self, writer: Writer) -> None:
        with self._condition:
            self._path, self.current = writer.path, writer.offset
            self._condition.notify_all()

    def _finish(self, path: str) -> None:
        with self._condition:
            self._path, self.current, self.state = path, self.descriptor.size, "complete"
            self._condition.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._condition:
            self._error, self.state = error, "failed"
            self._condition.notify_all()

    def wait_beyond(self, offset: int, interrupted: Callable[[], bool]) -> str:
        """Block until there are bytes after `offset`, or all; returns the path to read from. For threads."""
        with self._condition:
            self._condition.wait_for(
                lambda: self.current > offset or self.complete or self._error is not None or interrupted()
            )
            if interrupted():
                raise InterruptedError("the pull was cancelled")
            if self._error is not None:
                raise SampanError(f"{self.descriptor.digest}: {self._error}")
            return self._path

    def wait_until_complete(self, reader: DownloadReader) -> None:
        """Block until the blob is whole; for threads."""
        self.wait_beyond(self.descriptor.size, lambda: reader.interrupted)

    def wake(self) -> None:
        """Let waiting readers look again."""
        with self._condition:
            self._condition.notify_all()


class DownloadReader:
    """Reads a blob from its start while it arrives; the end comes only when it is whole and verified."""

    def __init__(self, download: Download) -> None:
        self._download = download
        self._handle = -1
        self.interrupted = False
        self.offset = 0

    def read(self, size: int = CHUNK) -> bytes:
        """Up to `size` bytes, waiting for them; raises when the download fails or the reader is interrupted."""
        path = self._download.wait_beyond(self.offset, lambda: self.interrupted)
        while self._handle < 0:
            try:
                self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:  # it was made whole, and renamed, a moment ago
                path = self._download.wait_beyond(self._download.current, lambda: self.interrupted)
        ready = self._download.current - self.offset
        data = os.pread(self._handle, min(size, ready), self.offset) if ready > 0 else b""
        self.offset += len(data)
        return data

    def interrupt(self) -> None:
        """Make a blocked read raise."""
        self.interrupted = True
        self._download.wake()

    def close(self) -> None:
        """Close the file."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)
