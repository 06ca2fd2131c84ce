"""Where a daemon listens: the forms that DOCKER_HOST takes."""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_STREAM, socket

from sampan.errors import InvalidArgument, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from socket import socket as Socket

TLS_PORT = 2376
PLAIN_PORT = 2375


class TlsFiles:
    """PEM files; empty names mean the system's roots, or no client certificate."""

    __slots__ = ("ca", "cert", "key", "verify")

    def __init__(self, ca: str = "", cert: str = "", key: str = "", verify: bool = True) -> None:
        self.ca, self.cert, self.key, self.verify = ca, cert, key, verify

    def context(self) -> ssl.SSLContext:
        import ssl  # 9 ms that only TCP with TLS pays

        context = ssl.create_default_context(cafile=self.ca or None)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert:
            context.load_cert_chain(self.cert, self.key or None)
        return context


class Target:
    """A parsed host: `path` of a unix socket, or `host` and `port`; `base` is a URL path in front of every request."""

    __slots__ = ("base", "host", "path", "port", "tls", "url")

    def __init__(self, url: str, tls: TlsFiles | None = None) -> None:
        self.url, self.tls = url, tls
        self.path = self.host = self.base = ""
        self.port = 0
        scheme, separator, rest = url.partition("://")
        if not separator:
            raise InvalidArgument(f"unable to parse docker host `{url}`")
        if scheme == "unix":
            self.path = rest
        elif scheme in ("tcp", "http", "https"):
            self._parse_address(rest, scheme)
        else:
            raise InvalidArgument(f"unsupported protocol scheme {scheme!r} in host `{url}`")

    def _parse_address(self, rest: str, scheme: str) -> None:
        address, slash, base = rest.partition("/")
        self.base = (slash + base).rstrip("/")
        host, colon, port = address.rpartition(":")
        if not colon or port.endswith("]"):
            host, port = address, ""
        self.host = host.strip("[]") or "127.0.0.1"
        if scheme == "https" and self.tls is None:
            self.tls = TlsFiles()
        if port and not port.isdigit():
            raise InvalidArgument(f"invalid port in host `{self.url}`")
        self.port = int(port) if port else (TLS_PORT if self.tls else PLAIN_PORT)

    @property
    def host_header(self) -> str:
        if self.path:
            return "api.moby.localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def connect(self, timeout: float | None = None) -> socket:
        """A connected socket; Unavailable when nobody answers."""
        try:
            return self._connect(timeout)
        except OSError as error:
            raise unreachable(self.url, error) from error

    def _connect(self, timeout: float | None) -> socket:
        connection = self._to_path(timeout) if self.path else self._to_address(timeout)
        connection.settimeout(None)
        return connection

    def _to_path(self, timeout: float | None) -> socket:
        connection = socket(AF_UNIX, SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            connection.connect(self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _to_address(self, timeout: float | None) -> socket:
        from socket import IPPROTO_TCP, TCP_NODELAY, create_connection  # with the enumerations of all others: 2 ms

        connection = create_connection((self.host, self.port), timeout)
        connection.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        return self._encrypted(connection) if self.tls else connection

    def _encrypted(self, connection: Socket) -> Socket:
        from .tls import tunnel

        assert self.tls is not None
        try:
            encrypted = tunnel(connection, self.tls.context(), self.host)
            connection.settimeout(None)
        except BaseException:
            connection.close()
            raise
        return encrypted


def unreachable(url: str, error: OSError) -> Unavailable:
    if isinstance(error, PermissionError):
        return Unavailable(
            f"permission denied while trying to connect to the Sampan daemon socket at {url}: {error.strerror}"
        )
    if isinstance(getattr(error, "reason", None), str):
        # An SSLError, without importing ssl to say so.
        return Unavailable(f"error during connect: {url}: tls: {error}")
    return Unavailable(f"Cannot connect to the Sampan daemon at {url}. Is the sampan daemon running?")
