"""`registry serve`: a registry in this process, until SIGTERM or ^C. SIGUSR1 collects garbage at once."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from typing import TYPE_CHECKING

from .command import CommandFailed, command
from .flags import Options, boolean, duration, string

if TYPE_CHECKING:
    from sampan.registry.server.config import ServerConfig, TokenAuth, Upstream

    from .session import Session

SECOND = 10**9


@command(
    "[OPTIONS]",
    "Serve images from a directory (distribution-spec 1.1)",
    boolean("anonymous-pull", "Let anyone pull; users of the htpasswd file push"),
    duration("gc-grace", "Age below which unreferenced blobs are kept", default=3600 * SECOND),
    duration("gc-interval", "Time between garbage collections", default=24 * 3600 * SECOND),
    string("htpasswd", "File with users and bcrypt hashes"),
    string("listen", "Address and port", short="l", default="0.0.0.0:5000"),
    boolean("no-delete", "Refuse to delete manifests and blobs"),
    boolean("read-only", "Refuse every change"),
    string("root", "Directory that holds the images", default="/var/lib/sampan-registry"),
    string("tls-cert", "Certificate (PEM)"),
    string("tls-client-ca", "Ask clients for a certificate of this CA (PEM)"),
    string("tls-key", "Private key (PEM)"),
    string(
        "token-key",
        "File with the key of bearer tokens, made where missing, or with public keys of --token-realm (PEM)",
    ),
    string("token-issuer", "Issuer of the tokens that are accepted", default="sampan-registry"),
    string("token-realm", "URL that issues tokens (default: this server, to the users of the htpasswd file)"),
    string("token-service", "Service that the tokens are for", default="sampan-registry"),
    string("upstream", "Pull through: the registry behind, as a URL"),
    string("upstream-password-file", "File with the password for the registry behind"),
    duration("upstream-ttl", "Time for which a tag of the registry behind is not looked up again (default 0s)"),
    string("upstream-user", "User name at the registry behind"),
)
def serve(session: Session, options: Options, arguments: list[str]) -> int:
    from sampan.registry.server.run import serve as run

    config = server_config(options)

    def ready(port: int) -> None:
        sys.stdout.write(f"serving {config.root} on {config.host}:{port}\n")
        sys.stdout.flush()

    try:
        asyncio.run(run(config, ready))
    except OSError as error:
        raise CommandFailed(f"sampan: {error.filename or options['listen']}: {error.strerror}") from error
    return 0


def server_config(options: Options) -> ServerConfig:
    from sampan.registry.server.config import ServerConfig

    host, _, port = options["listen"].rpartition(":")
    if not port.isdigit():
        raise CommandFailed(f"sampan: invalid address {options['listen']!r}: HOST:PORT is wanted")
    return ServerConfig(
        root=options["root"],
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
        gc_interval=options["gc-interval"] / SECOND,
        gc_grace=options["gc-grace"] / SECOND,
    )


def _token(options: Options) -> TokenAuth | None:
    from sampan.registry.server.config import TokenAuth

    if not options["token-key"]:
        return None
    key = options["token-key"]
    try:
        # Who can read the key can make tokens for everything.
        with open(key, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(secrets.token_hex(32).encode() + b"\n")
    except FileExistsError:
        pass
    with open(key, "rb") as file:
        data = file.read().strip()
    _check_key(data, key, options)
    return TokenAuth(options["token-realm"], options["token-service"], options["token-issuer"], data)


def _check_key(data: bytes, path: str, options: Options) -> None:
    from sampan.registry.server.tokens import Key

    try:
        Key(data).check()
    except ValueError as error:
        raise CommandFailed(f"sampan: {path}: {error}") from error
    if Key(data).is_public and not options["token-realm"]:
        raise CommandFailed(f"sampan: {path} is a public key: who signs with the private one is --token-realm's to say")


def _upstream(options: Options) -> Upstream | None:
    from sampan.registry.config import ANONYMOUS, AuthConfig
    from sampan.registry.server.config import Upstream

    if not options["upstream"]:
        return None
    auth = ANONYMOUS
    if options["upstream-user"]:
        with open(options["upstream-password-file"], encoding="utf-8") as file:
            auth = AuthConfig(username=options["upstream-user"], password=file.read().rstrip("\n"))
    return Upstream(options["upstream"].rstrip("/"), auth, options["upstream-ttl"] / SECOND)
