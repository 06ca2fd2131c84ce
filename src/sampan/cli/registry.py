"""`registry serve` and `registry gc`: a registry of our own, in this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .command import CommandFailed, command
from .flags import Options, boolean, string

if TYPE_CHECKING:
    from sampan.registry.server.config import ServerConfig, TokenAuth, Upstream

    from .session import Session

_ROOT = string("root", "Directory of the registry's files", default="/var/lib/sampan-registry")
_GRACE = string("gc-grace", "Age below which an unreferenced blob is kept", default="1h")


def _seconds(text: str) -> float:
    from sampan.image.changes import duration

    return duration(text) / 1e9


def _key(path: str) -> bytes:
    if not path:
        return b""
    with open(path, "rb") as file:
        return file.read().strip()


@command(
    "[OPTIONS]",
    "Run a registry (OCI distribution-spec 1.1)",
    _ROOT,
    string("addr", "Address and port to listen on", default="0.0.0.0:5000"),
    string("tls-cert", "Certificate (PEM)"),
    string("tls-key", "Key of the certificate (PEM)"),
    string("tls-client-ca", "Ask clients for certificates of this authority"),
    string("htpasswd", "File of users (bcrypt, SHA-2 crypt)"),
    boolean("token", "Authenticate with bearer tokens; without --token-realm they are issued here, to the users"),
    string("token-realm", "URL of another token server"),
    string("token-service", "Service that tokens are for", default="sampan-registry"),
    string("token-issuer", "Issuer of the tokens", default="sampan-registry"),
    string("token-key", "File with the shared key of the token server (HS256)"),
    boolean("anonymous-pull", "Let everybody pull"),
    boolean("read-only", "Refuse every change"),
    boolean("no-delete", "Refuse to delete"),
    string("proxy", "Be a pull-through cache of this registry (URL)"),
    string("proxy-username", "User at the registry behind"),
    string("proxy-password-file", "File with the password at the registry behind"),
    string("proxy-ttl", "Time for which a tag is not looked up again", default="0s"),
    string("gc-interval", "Time between garbage collections", default="24h"),
    _GRACE,
)
def serve(session: Session, options: Options, arguments: list[str]) -> int:
    import asyncio

    from sampan.errors import SampanError
    from sampan.registry.server.run import serve as run

    config = server_config(options)
    scheme = "https" if config.tls_certificate else "http"
    try:
        asyncio.run(run(config, lambda port: session.say(f"registry listens on {scheme}://{config.host}:{port}")))
    except (OSError, SampanError) as error:
        raise CommandFailed(f"registry: {error}") from error
    return 0


def server_config(options: Options) -> ServerConfig:
    """The server's settings as the flags say."""
    from sampan.registry.server.config import ServerConfig

    host, _, port = options["addr"].rpartition(":")
    return ServerConfig(
        root=os.path.abspath(options["root"]),
        host=host.strip("[]") or "0.0.0.0",
        port=int(port),
        tls_certificate=options["tls-cert"],
        tls_key=options["tls-key"],
        tls_client_ca=options["tls-client-ca"],
        htpasswd=options["htpasswd"],
        token=_token(options),
        anonymous_pull=options["anonymous-pull"],
        read_only=options["read-only"],
        allow_delete=not options["no-delete"],
        upstream=_upstream(options),
        gc_interval=_seconds(options["gc-interval"]),
        gc_grace=_seconds(options["gc-grace"]),
    )


def _token(options: Options) -> TokenAuth | None:
    from sampan.registry.server.config import TokenAuth

    if not options["token"] and not options["token-realm"]:
        return None
    key = _key(options["token-key"])
    return TokenAuth(options["token-realm"], options["token-service"], options["token-issuer"], key)


def _upstream(options: Options) -> Upstream | None:
    from sampan.registry.config import AuthConfig
    from sampan.registry.server.config import Upstream

    if not options["proxy"]:
        return None
    password = _key(options["proxy-password-file"]).decode()
    auth = AuthConfig(username=options["proxy-username"], password=password)
    return Upstream(options["proxy"], auth, _seconds(options["proxy-ttl"]))


@command("[OPTIONS]", "Remove what no manifest needs, while no registry serves the directory", _ROOT, _GRACE)
def gc(session: Session, options: Options, arguments: list[str]) -> int:
    import asyncio

    from sampan.errors import SampanError
    from sampan.registry.server.config import ServerConfig
    from sampan.registry.server.run import collect_offline

    config = ServerConfig(os.path.abspath(options["root"]), gc_grace=_seconds(options["gc-grace"]))
    try:
        found = asyncio.run(collect_offline(config))
    except (OSError, SampanError) as error:
        raise CommandFailed(f"registry: {error} (send it SIGUSR1 instead)") from error
    session.say(f"removed {found.blobs} blobs, {found.freed} bytes")
    return 0
