"""`POST /auth`: whether a registry accepts credentials."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from ..errors import Unauthorized
from ..registry.config import AuthConfig, domain_of
from ..registry.failures import RegistryFailure
from .imagehost import ImageHost

if TYPE_CHECKING:
    from ..registry.transport import Transport


class LoginResult(Struct, frozen=True):
    """`identity_token` is kept by the client instead of the password, where the registry gives one."""

    status: str = "Login Succeeded"
    identity_token: str = ""


async def login(host: ImageHost, auth: AuthConfig) -> LoginResult:
    """Ask the registry; raises Unauthorized when it refuses."""
    domain = domain_of(auth.serveraddress)

    async def work(transport: Transport) -> LoginResult:
        try:
            await transport.fetch("GET", "/v2/")
        except RegistryFailure as error:
            if error.status in {401, 403}:
                url = f"{transport.endpoint.url}/v2/"
                raise Unauthorized(f'Get "{url}": {error}') from error
            raise
        return LoginResult()

    return await host.registries.connect(domain, auth, work, mirrors=False)
