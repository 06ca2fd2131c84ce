"""What all pulls and pushes of an engine share, and the way to an endpoint that answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from .. import __version__
from ..cas.threads import run_abandonable
from ..errors import NotFound, Unauthorized
from ..registry.config import AuthConfig, RegistryConfig, endpoints
from ..registry.failures import RegistryFailure, Unreachable
from ..registry.shared import KeyedLocks
from .config import EngineConfig

if TYPE_CHECKING:
    from ..registry.transport import Transport

T = TypeVar("T")


class Registries:
    """Settings, and the limits and locks that hold across requests."""

    def __init__(self, config: RegistryConfig) -> None:
        self.config = config
        self.downloads = asyncio.Semaphore(config.max_concurrent_downloads)
        self.uploads = asyncio.Semaphore(config.max_concurrent_uploads)
        self.locks = KeyedLocks()

    async def connect(
        self, domain: str, auth: AuthConfig, work: Callable[[Transport], Awaitable[T]], *, mirrors: bool = True
    ) -> T:
        """Run `work` against the first endpoint of the registry that serves it.

        A mirror that fails in any way is passed over; a registry that may be insecure is tried without TLS when it
        does not speak it.
        """
        from ..registry.transport import Transport

        found = await run_abandonable(lambda: endpoints(self.config, domain))  # it may ask the DNS
        *others, last = [endpoint for endpoint in found if mirrors or not endpoint.mirror]
        for endpoint in others:
            async with Transport(self.config, endpoint, auth) as transport:
                try:
                    await transport.ping()
                except (Unreachable, RegistryFailure):
                    continue
                try:
                    return await work(transport)
                except (Unreachable, RegistryFailure, NotFound, Unauthorized):
                    if not endpoint.mirror:
                        raise
        async with Transport(self.config, last, auth) as transport:
            try:
                await transport.ping()
            except RegistryFailure:
                pass  # a registry in trouble: the requests themselves are tried again
            return await work(transport)


def registry_config(config: EngineConfig) -> RegistryConfig:
    """The client's settings as the daemon's configuration has them."""
    registry, proxies = config.registry, config.container.proxies
    return RegistryConfig(
        mirrors=registry.mirrors,
        insecure=registry.insecure,
        http_proxy=proxies.get("http-proxy", ""),
        https_proxy=proxies.get("https-proxy", ""),
        no_proxy=proxies.get("no-proxy", ""),
        max_concurrent_downloads=registry.max_concurrent_downloads,
        max_concurrent_uploads=registry.max_concurrent_uploads,
        max_attempts=registry.max_download_attempts,
        user_agent=f"sampan/{__version__}",
    )
