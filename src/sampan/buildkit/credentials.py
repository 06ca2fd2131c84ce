"""What only a client has: credentials for registries, secrets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..errors import NotFound, NotImplementedHere
from ..oci.reference import DEFAULT_DOMAIN
from ..registry.config import ANONYMOUS, AuthConfig, AuthFor
from .callee import ask
from .proto.auth_pb2 import CredentialsRequest, CredentialsResponse
from .proto.secrets_pb2 import GetSecretRequest, GetSecretResponse
from .sessions import Session

CREDENTIALS: Final = "/moby.filesync.v1.Auth/Credentials"
GET_SECRET: Final = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
_HUB: Final = "registry-1.docker.io"
"""The name under which clients look up Docker Hub's credentials for BuildKit."""


def auth_for(session: Session) -> AuthFor:
    """Credentials by registry, asked for when a registry is first talked to; a client without the service has none."""
    known: dict[str, AuthConfig] = {}

    async def given(domain: str) -> AuthConfig:
        if domain not in known:
            known[domain] = await _credentials(session, _HUB if domain == DEFAULT_DOMAIN else domain)
        return known[domain]

    return given


async def _credentials(session: Session, host: str) -> AuthConfig:
    try:
        found = await ask(session, CREDENTIALS, CredentialsRequest(Host=host), CredentialsResponse)
    except NotImplementedHere:
        return ANONYMOUS
    if not found.Username:  # a secret by itself is an identity token
        return AuthConfig(identitytoken=found.Secret)
    return AuthConfig(username=found.Username, password=found.Secret)


async def secrets(session: Session, ids: Iterable[str]) -> dict[str, bytes]:
    """Those of the secrets that the client has; what builds need without them is their own affair."""
    found: dict[str, bytes] = {}
    for identity in ids:
        try:
            answer = await ask(session, GET_SECRET, GetSecretRequest(ID=identity), GetSecretResponse)
        except (NotFound, NotImplementedHere):
            continue
        found[identity] = answer.data
    return found
