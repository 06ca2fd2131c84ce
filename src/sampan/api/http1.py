"""What the API needs of an HTTP/1.1 request beside what h11 knows of it; no I/O."""

from __future__ import annotations

from typing import Final

import h11
from msgspec import Struct, field

from ..errors import InvalidArgument, SampanError

MAX_HEAD: Final = 1 << 20
"""Octets of request line and header fields together."""

REASONS: Final = {
    101: "UPGRADED", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 301: "Moved Permanently",
    304: "Not Modified",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    409: "Conflict", 413: "Content Too Large", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable", 505: "HTTP Version Not Supported",
}  # fmt: skip


class ProtocolError(InvalidArgument):
    """The octets are no HTTP request; the connection cannot go on."""


class TooLarge(SampanError):
    """The body exceeds what its route takes (HTTP 413)."""


class Head(Struct, frozen=True):
    """Request line and header fields; field names are in lower case, repeated ones joined with a comma."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, request: h11.Request) -> Head:
        if not request.http_version.startswith(b"1."):
            raise h11.RemoteProtocolError("unsupported HTTP version", error_status_hint=505)
        headers: dict[str, str] = {}
        for raw_name, value in request.headers:
            name, text = raw_name.decode("ascii"), value.decode("latin-1")
            headers[name] = f"{headers[name]},{text}" if name in headers else text
        # RFC 9112 section 6.3: no honest client sends both, and a proxy in front may understand them differently
        if "content-length" in headers and "transfer-encoding" in headers:
            raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding")
        return cls(request.method.decode("ascii"), request.target.decode("latin-1"), headers)

    @property
    def upgrade(self) -> str:
        """The protocol asked for, in lower case, or nothing."""
        tokens = (part.strip().lower() for part in self.headers.get("connection", "").split(","))
        return self.headers.get("upgrade", "").lower() if "upgrade" in tokens else ""

    @property
    def content_length(self) -> int | None:
        """Octets of the body; None where only its end will tell."""
        return None if "transfer-encoding" in self.headers else int(self.headers.get("content-length", "0"))
