"""Reading a container's log back, over rotated and compressed files, and following it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import zlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from sampan import errors
from sampan.linux import inotify

from . import options as opts
from . import rotation, writers
from .decode import Decoder, Entry, JsonDecoder, LocalDecoder, json_tail, local_tail

__all__ = ["Entry", "batches", "format_of", "read"]

_CHUNK = 1 << 18
_RECHECK = 1.0
"""Seconds between looks at a followed file where no event came: some file systems have no inotify."""

_FORMATS: dict[str, tuple[Callable[[], Decoder], Callable[[int, int], tuple[int, int]]]] = {
    "json": (JsonDecoder, json_tail),
    "local": (LocalDecoder, local_tail),
}


def format_of(driver: str, config: dict[str, str]) -> str:
    """The format in which a driver's log can be read back; NotImplementedHere where there is none."""
    if driver in ("", "json-file"):
        return "json"
    if driver == "none" or (driver in opts.REMOTE and opts.flag(config, "cache-disabled", default=False)):
        raise errors.NotImplementedHere("configured logging driver does not support reading")
    return "local"


async def read(
    driver: str,
    config: dict[str, str],
    directory: str,
    container_id: str,
    *,
    since_ns: int = 0,
    until_ns: int = 0,
    tail: int = -1,
    follow: asyncio.Event | None = None,
) -> AsyncIterator[Entry]:
    """The entries of a container's log from `since_ns` to `until_ns` (0: no bound), the last `tail` of them (-1: all).

    `follow` is set when the container is gone: the log is then read to its end; None reads what is there now.
    Times filter what `tail` leaves, as in Docker.
    """
    source = batches(driver, config, directory, container_id, since_ns, until_ns, tail, follow)
    async with contextlib.aclosing(source):
        async for batch in source:
            for entry in batch:
                yield entry


async def batches(
    driver: str,
    config: dict[str, str],
    directory: str,
    container_id: str,
    since_ns: int,
    until_ns: int,
    tail: int,
    follow: asyncio.Event | None,
) -> AsyncGenerator[list[Entry], None]:
    """As `read`, many entries at a time: ten times faster for long logs."""
    decoder, find_tail = _FORMATS[format_of(driver, config)]
    reader = _Reader(writers.path(driver, directory, container_id), decoder, find_tail)
    watch = _Watch(directory) if follow is not None else None
    try:
        async for batch in reader.entries(tail, watch, follow):
            wanted = [entry for entry in batch if entry.timestamp_ns >= since_ns]
            if until_ns:
                wanted = [entry for entry in wanted if entry.timestamp_ns <= until_ns]
            if wanted:
                yield wanted
            if until_ns and batch and batch[-1].timestamp_ns > until_ns:
                return
    finally:
        reader.close()
        if watch is not None:
            watch.close()


class _Watch:
    """Wakes up when something in a directory is written or renamed."""

    def __init__(self, directory: str) -> None:
        self._fd = inotify.init()
        self._directory = directory
        self._event = asyncio.Event()
        self._add()
        asyncio.get_running_loop().add_reader(self._fd, self._on_event)

    def _add(self) -> None:
        for path in (self._directory, f"{self._directory}/local-logs"):
            with contextlib.suppress(OSError):  # not there yet: its creation is an event in the first
                inotify.add_watch(self._fd, path, inotify.IN_MODIFY | inotify.IN_MOVED_TO | inotify.IN_CREATE)

    def _on_event(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 1 << 16)
        self._add()
        self._event.set()

    async def wait(self, stopped: asyncio.Event) -> None:
        """Until there is news, the container is gone, or it is time to look anyway."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self._event, stopped)]
        try:
            await asyncio.wait(waits, timeout=_RECHECK, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._event.clear()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)


class _Reader:
    """Holds every file that is still to be read open, so that rotation and compression cannot take one away."""

    def __init__(
        self, path: str, decoder: Callable[[], Decoder], find_tail: Callable[[int, int], tuple[int, int]]
    ) -> None:
        self._path = path
        self._decoder, self._find_tail = decoder, find_tail
        self._files: deque[tuple[int, int, Decoder]] = deque()  # (fd, first offset, decoder), oldest first
        self._newest: tuple[int, int] | None = None

    async def entries(
        self, tail: int, watch: _Watch | None, stopped: asyncio.Event | None
    ) -> AsyncIterator[list[Entry]]:
        async for batch in self._open(tail):
            yield batch
        while True:
            # Whether the writer is gone is asked before reading: then nothing can come behind the end that is found.
            finished = stopped is None or stopped.is_set()
            self._notice_rotation()
            while self._files and (data := self._next_chunk()):
                if entries := self._files[0][2].feed(data):
                    yield entries
                await asyncio.sleep(0)
                self._notice_rotation()
            if len(self._files) > 1:
                os.close(self._files.popleft()[0])
                continue
            if finished:
                return
            assert watch is not None and stopped is not None
            await watch.wait(stopped)

    def _next_chunk(self) -> bytes:
        fd, offset, decoder = self._files[0]
        data = os.pread(fd, _CHUNK, offset)
        self._files[0] = (fd, offset + len(data), decoder)
        return data

    async def _open(self, tail: int) -> AsyncIterator[list[Entry]]:
        """Open the files that hold the last `tail` records; what compressed ones hold is given at once."""
        missing = tail
        compressed: list[tuple[str, int]] = []
        for path in reversed(rotation.files(self._path)):
            if tail >= 0 and missing <= 0 and self._newest is not None:
                break
            if path.endswith(".gz"):
                count = sum([len(batch) async for batch in self._unpack(path)]) if tail >= 0 else 0
                compressed.append((path, max(0, count - missing) if tail >= 0 else 0))
                missing -= count
            else:
                missing -= self._open_plain(path, missing)
        for path, skipped in reversed(compressed):
            async for batch in self._unpack(path):
                yield batch[skipped:]
                skipped = max(0, skipped - len(batch))

    async def _unpack(self, path: str) -> AsyncIterator[list[Entry]]:
        """What a compressed file holds, piece by piece; nothing where it was rotated away, less where it is torn."""
        decoder, unpacker = self._decoder(), zlib.decompressobj(31)
        try:
            with open(path, "rb") as file:
                while packed := unpacker.unconsumed_tail or file.read(_CHUNK):
                    yield decoder.feed(await asyncio.to_thread(unpacker.decompress, packed, _CHUNK))
        except (FileNotFoundError, zlib.error):
            return

    def _open_plain(self, path: str, missing: int) -> int:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return 0
        offset, count = self._find_tail(fd, missing) if missing >= 0 else (0, 0)
        self._files.appendleft((fd, offset, self._decoder()))
        if self._newest is None:
            self._newest = _identity(fd)
        return count

    def _notice_rotation(self) -> None:
        """Open the files that have come since the newest that is known."""
        try:
            status = os.stat(self._path)
        except FileNotFoundError:
            return
        if (status.st_dev, status.st_ino) == self._newest:
            return
        fresh: list[tuple[int, int, Decoder]] = []
        for path in reversed([path for path in rotation.files(self._path) if not path.endswith(".gz")]):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            if _identity(fd) == self._newest or (self._newest is None and path != self._path):
                os.close(fd)
                break
            fresh.append((fd, 0, self._decoder()))
        if fresh:
            self._newest = _identity(fresh[0][0])
            self._files.extend(reversed(fresh))

    def close(self) -> None:
        for fd, _, _ in self._files:
            os.close(fd)
        self._files.clear()


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
