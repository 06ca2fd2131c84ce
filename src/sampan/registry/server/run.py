"""Run a registry server until it is told to stop."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from ...errors import Conflict
from .app import Registry
from .collection import Collected, collect
from .config import ServerConfig

log = logging.getLogger("sampan.registry")
_STALE_UPLOAD = 7 * 24 * 3600.0


@asynccontextmanager
async def serving(config: ServerConfig) -> AsyncIterator[tuple[Registry, int]]:
    """A registry that listens; yields it and its port (of use when `port` is 0)."""
    with _locked(config.root):
        registry = Registry(config)
        server = web.Server(registry.handle, access_log=None)  # type: ignore[arg-type] # a bound method serves
        runner = web.ServerRunner(server, shutdown_timeout=5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, config.host, config.port, ssl_context=_tls(config))
            await site.start()
            yield registry, runner.addresses[0][1]
        finally:
            await runner.cleanup()
            await registry.close()


async def serve(config: ServerConfig, ready: Callable[[int], None]) -> None:
    """Serve until SIGTERM or SIGINT; SIGUSR1 collects garbage at once. `ready` hears the port."""
    loop = asyncio.get_running_loop()
    stop, collect_now = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, collect_now.set)
    async with serving(config) as (registry, port):
        ready(port)
        collecting = asyncio.create_task(_collect_forever(registry, collect_now))
        await stop.wait()
        collecting.cancel()
        await asyncio.wait({collecting})


async def _collect_forever(registry: Registry, now: asyncio.Event) -> None:
    while True:
        try:
            await asyncio.wait_for(now.wait(), registry.config.gc_interval)
        except TimeoutError:
            pass  # the interval is over
        now.clear()
        found = await collect_garbage(registry)
        log.info("garbage collection: %d blobs, %d bytes", found.blobs, found.freed)


async def collect_garbage(registry: Registry) -> Collected:
    """One run over the live store."""
    registry.uploads.drop_stale(_STALE_UPLOAD)
    found = await collect(registry.storage, registry.config.gc_grace, registry.lock)
    registry.metrics.collected_bytes += found.freed
    return found


async def collect_offline(config: ServerConfig) -> Collected:
    """One run while nobody serves the directory; raises Conflict when somebody does."""
    with _locked(config.root):
        return await collect_garbage(Registry(config))


def _tls(config: ServerConfig) -> ssl.SSLContext | None:
    if not config.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=config.tls_client_ca or None)
    context.load_cert_chain(config.tls_certificate, config.tls_key or None)
    if config.tls_client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class _locked:
    """One server for each root: two would not see each other's locks."""

    def __init__(self, root: str) -> None:
        os.makedirs(root, mode=0o750, exist_ok=True)
        self._handle = os.open(f"{root}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._root = root

    def __enter__(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            raise Conflict(f"another registry serves {self._root}") from None

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)
