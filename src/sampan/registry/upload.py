"""Uploads of blobs: existence check, mount, then PATCH with resume and a closing PUT."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

from .. import faults
from ..cas import Store
from ..cas.threads import run_in_thread
from ..oci.manifest import Descriptor
from .failures import RegistryFailure, Unreachable
from .repository import UploadSession

if TYPE_CHECKING:
    from .repository import Repository

_PIECE = 128 << 10
"""What a slow line must take within the stall timeout."""
EXISTS, MOUNTED, PUSHED = "exists", "mounted", "pushed"


class Upload:
    """One blob on its way out; `current` counts the bytes that were sent."""

    def __init__(self, store: Store, descriptor: Descriptor) -> None:
        self.descriptor = descriptor
        self.current = 0
        self.source = ""
        """The repository that it was mounted from."""
        self._store = store

    async def run(self, repository: Repository, sources: Sequence[str]) -> str:
        """Bring it there the cheapest way: EXISTS, MOUNTED or PUSHED. `sources` are repositories that may have it."""
        digest = self.descriptor.digest
        if await repository.has_blob(digest):
            return EXISTS
        session: UploadSession | None = None
        for source in sources:
            session = await repository.mount(digest, source)
            if session is None:
                self.source = source
                return MOUNTED
        await self._send(repository, session)
        return PUSHED

    async def _send(self, repository: Repository, session: UploadSession | None) -> None:
        progress = _Resumption(repository, session)

        async def attempt() -> None:
            current = await progress.current()
            faults.point("upload.begun")
            if current.offset < self.descriptor.size:
                current = progress.session = await self._rest(repository, current)
            faults.point("upload.sent")
            await repository.finish_upload(current, self.descriptor.digest)
            faults.point("upload.finished")

        async def attempt_or_done() -> None:
            try:
                await attempt()
            except RegistryFailure as error:
                # The attempt before, whose answer never came, may have finished it meanwhile.
                if error.code != "BLOB_UPLOAD_UNKNOWN" or not await repository.has_blob(self.descriptor.digest):
                    raise

        await repository.transport.retrying(attempt_or_done)

    async def _rest(self, repository: Repository, session: UploadSession) -> UploadSession:
        """Send what is missing. aiohttp's timeouts watch the answer only: a registry that stops reading is ours."""
        stall, now = repository.transport.config.stall_timeout, asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(stall) as limit:

                def body() -> AsyncIterator[bytes]:
                    return self._body(session.offset, lambda: limit.reschedule(now() + stall))

                return await repository.send_chunk(session, body, self.descriptor.size - session.offset)
        except TimeoutError:
            raise Unreachable(f"upload of {self.descriptor.digest} moved no byte for {stall:g} s") from None

    async def _body(self, offset: int, moved: Callable[[], None]) -> AsyncIterator[bytes]:
        with self._store.open(self.descriptor.digest) as blob:
            blob.seek(offset)
            self.current = offset
            while chunk := await run_in_thread(lambda: blob.read(_PIECE)):
                yield chunk
                self.current += len(chunk)
                moved()


class _Resumption:
    """The session to go on with: the old one where the registry still knows it, else a new one."""

    def __init__(self, repository: Repository, session: UploadSession | None) -> None:
        self._repository = repository
        self.session = session
        self._fresh = True

    async def current(self) -> UploadSession:
        if self.session is None:
            self.session = await self._repository.start_upload()
        elif not self._fresh:
            try:
                self.session = await self._repository.upload_status(self.session.location)
            except (RegistryFailure, Unreachable):
                self.session = await self._repository.start_upload()
        self._fresh = False
        return self.session
