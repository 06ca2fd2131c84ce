"""Which daemon a command talks to: `-H`, `-c`, DOCKER_CONTEXT, DOCKER_HOST, the current context, the default socket."""

from __future__ import annotations

import os

from sampan import paths
from sampan.client.target import TlsFiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .session import GlobalOptions

DEFAULT_CONTEXT = "default"
DEFAULT_HOST = f"unix://{paths.DEFAULT_SOCKET}"


class Host:
    """A daemon's address. `chosen` is False where nobody named one, and a daemon may be started there."""

    __slots__ = ("chosen", "context", "tls", "url")

    def __init__(self, url: str, tls: TlsFiles | None, context: str, chosen: bool) -> None:
        self.url, self.tls, self.context, self.chosen = url, tls, context, chosen


def context_name(options: GlobalOptions) -> str:
    if options.context:
        return options.context
    if options.host or os.environ.get("DOCKER_HOST"):
        return DEFAULT_CONTEXT
    return os.environ.get("DOCKER_CONTEXT") or options.config.text("currentContext") or DEFAULT_CONTEXT


def resolve(options: GlobalOptions) -> Host:
    name = context_name(options)
    if name != DEFAULT_CONTEXT:
        from .context_store import ContextStore

        endpoint = ContextStore(options.config.directory).endpoint(name)
        return Host(endpoint.host, endpoint.tls, name, True)
    named = options.host or os.environ.get("DOCKER_HOST", "")
    return Host(expand(named) if named else DEFAULT_HOST, tls_files(options), name, bool(named))


def expand(host: str) -> str:
    """`127.0.0.1:2375` means tcp; a path means unix."""
    if "://" in host:
        return host
    return f"unix://{host}" if host.startswith("/") else f"tcp://{host}"


def tls_files(options: GlobalOptions) -> TlsFiles | None:
    """From `--tls*` and DOCKER_TLS_VERIFY, DOCKER_TLS, DOCKER_CERT_PATH; None for a plain connection."""
    verify = options.tls_verify or bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not (options.tls or verify or os.environ.get("DOCKER_TLS")):
        return None
    directory = os.environ.get("DOCKER_CERT_PATH") or options.config.directory
    ca, cert, key = (
        named or _existing(os.path.join(directory, f"{name}.pem"))
        for named, name in ((options.tls_ca, "ca"), (options.tls_cert, "cert"), (options.tls_key, "key"))
    )
    return TlsFiles(ca if verify else "", cert, key, verify)


def _existing(path: str) -> str:
    return path if os.path.exists(path) else ""
