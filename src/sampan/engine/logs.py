"""`docker logs`, and what `attach` shows of the past."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec import Struct

from ..errors import InvalidArgument
from ..logs import readers
from ..logs.timestamps import fixed_rfc3339
from ..rpc.frames import frame
from .container import Container
from .engine import Engine

if TYPE_CHECKING:
    from .attach import AttachRequest


class LogsRequest(Struct, frozen=True):
    """Times in ns since the epoch, 0 for none; `tail` negative for all."""

    stdout: bool = True
    stderr: bool = True
    since_ns: int = 0
    until_ns: int = 0
    tail: int = -1
    timestamps: bool = False
    details: bool = False
    follow: bool = False


def logs(engine: Engine, ref: str, request: LogsRequest) -> AsyncIterator[bytes]:
    """The container's output, oldest first: Docker's frames, or raw bytes with a TTY. Errors come before the first."""
    container = engine.containers.get(ref)
    if not (request.stdout or request.stderr):
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    return _read(engine, container, request)


def history(engine: Engine, container: Container, request: AttachRequest) -> AsyncIterator[bytes]:
    """What `attach` with `logs` begins with."""
    return _read(engine, container, LogsRequest(stdout=request.stdout, stderr=request.stderr))


async def _read(engine: Engine, container: Container, request: LogsRequest) -> AsyncIterator[bytes]:
    log_config = container.host_config.log_config
    batches = readers.batches(
        log_config.type,
        log_config.config or {},
        engine.paths.container(container.id),
        container.id,
        request.since_ns,
        request.until_ns,
        request.tail,
        _gone(engine, container) if request.follow else None,
    )
    wanted = {number for number, on in ((1, request.stdout), (2, request.stderr)) if on}
    tty = container.config.tty
    async with aclosing(batches):
        async for batch in batches:
            pieces = [_piece(entry, request, tty) for entry in batch if entry.stream in wanted]
            if pieces:
                yield b"".join(pieces)


def _gone(engine: Engine, container: Container) -> asyncio.Event:
    if container.running:
        return engine.live(container).gone
    gone = asyncio.Event()
    gone.set()
    return gone


def _piece(entry: readers.Entry, request: LogsRequest, tty: bool) -> bytes:
    data = _prefix(entry, request) + entry.data
    return data if tty else frame(entry.stream, data)


def _prefix(entry: readers.Entry, request: LogsRequest) -> bytes:
    prefix = fixed_rfc3339(entry.timestamp_ns) + b" " if request.timestamps else b""
    if request.details:
        prefix += ",".join(f"{key}={value}" for key, value in sorted((entry.attrs or {}).items())).encode() + b" "
    return prefix
