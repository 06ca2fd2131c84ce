"""Settings of one registry server."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..config import ANONYMOUS, AuthConfig


@dataclass(frozen=True)
class Upstream:
    """Pull-through cache: the registry behind. `ttl`: seconds for which a tag is not looked up again."""

    url: str
    auth: AuthConfig = ANONYMOUS
    ttl: float = 0.0


@dataclass(frozen=True)
class TokenAuth:
    """Bearer tokens (distribution's token protocol): HS256 with a shared key, RS256 and ES256 with public ones (PEM).

    Without a `realm` the registry issues tokens itself, at `/token`, to the users of its htpasswd file.
    """

    realm: str = ""
    service: str = "sampan-registry"
    issuer: str = "sampan-registry"
    key: bytes = b""
    lifetime: int = 300


@dataclass(frozen=True)
class ServerConfig:
    """All of it. Times in seconds, sizes in bytes."""

    root: str
    host: str = "0.0.0.0"
    port: int = 5000
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    htpasswd: str = ""
    token: TokenAuth | None = None
    anonymous_pull: bool = False
    read_only: bool = False
    allow_delete: bool = True
    upstream: Upstream | None = None
    gc_interval: float = 24 * 3600.0
    gc_grace: float = 3600.0
    """Blobs younger than this are left alone: their manifest may be on its way."""
    max_manifest_size: int = 4 << 20
    headers: dict[str, str] = field(default_factory=dict)
