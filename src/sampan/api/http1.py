"""HTTP/1.1 messages (RFC 9112) as a server needs them; no I/O.

The daemon speaks HTTP through this module and `connection` rather than through a framework: every container stream
takes its connection over after the head (`101 UPGRADED`), and an idle daemon stays small and starts at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ..errors import InvalidArgument, SampanError

MAX_HEAD: Final = 256 << 10
"""Octets of request line and header fields together."""

MAX_CHUNK_LINE: Final = 4096

REASONS: Final = {
    101: "UPGRADED", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 304: "Not Modified",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    409: "Conflict", 413: "Content Too Large", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable",
}  # fmt: skip

_TOKEN: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class ProtocolError(InvalidArgument):
    """The octets are no HTTP request; the connection cannot go on."""


class TooLarge(SampanError):
    """The body exceeds what its route takes (HTTP 413)."""


@dataclass(frozen=True, slots=True)
class Head:
    """Request line and header fields; field names are in lower case, repeated ones joined with a comma."""

    method: str
    target: str
    version: tuple[int, int]
    headers: dict[str, str] = field(default_factory=dict)

    def has_token(self, name: str, token: str) -> bool:
        """Whether a comma-separated header names `token` (RFC 9110 section 5.6.1)."""
        return token in (part.strip().lower() for part in self.headers.get(name, "").split(","))

    @property
    def keep_alive(self) -> bool:
        return self.version >= (1, 1) and not self.has_token("connection", "close")

    @property
    def upgrade(self) -> str:
        """The protocol asked for, in lower case, or nothing."""
        return self.headers.get("upgrade", "").lower() if self.has_token("connection", "upgrade") else ""

    @property
    def chunked(self) -> bool:
        coding = self.headers.get("transfer-encoding", "").strip().lower()
        if coding not in ("", "chunked"):
            raise ProtocolError(f"unsupported transfer encoding: {coding!r}")
        return coding == "chunked"

    @property
    def content_length(self) -> int:
        text = self.headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise ProtocolError(f"bad Content-Length {text!r}")
        return int(text)


def take_head(buffer: bytearray) -> Head | None:
    """Remove a complete head from the start of `buffer`; None while it is incomplete."""
    while buffer.startswith((b"\r\n", b"\n")):  # RFC 9112 section 2.2: empty lines before the request line
        del buffer[: buffer.index(b"\n") + 1]
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > MAX_HEAD:
            raise ProtocolError("request header fields too large")
        return None
    if end > MAX_HEAD:
        raise ProtocolError("request header fields too large")
    lines = bytes(buffer[:end]).split(b"\r\n")
    del buffer[: end + 4]
    method, target, version = _request_line(lines[0])
    return Head(method, target, version, _fields(lines[1:]))


def _request_line(line: bytes) -> tuple[str, str, tuple[int, int]]:
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[0] or not _TOKEN.issuperset(parts[0]):
        raise ProtocolError("malformed request line")
    if parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise ProtocolError("unsupported HTTP version")
    return parts[0].decode(), parts[1].decode("latin-1"), (1, parts[2][-1] - 0x30)


def _fields(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or not _TOKEN.issuperset(name):
            raise ProtocolError("malformed header field")
        key, text = name.decode().lower(), value.strip(b" \t").decode("latin-1")
        if key == "content-length" and headers.get(key, text) != text:
            raise ProtocolError("contradicting Content-Length")
        headers[key] = f"{headers[key]},{text}" if key in headers and key != "content-length" else text
    if "content-length" in headers and "transfer-encoding" in headers:
        raise ProtocolError("both Content-Length and Transfer-Encoding")
    return headers


class Chunks:
    """Decoder of the chunked transfer coding (RFC 9112 section 7.1). States: size line, data, data's end, trailer."""

    def __init__(self) -> None:
        self._left = 0
        self._state = self._size
        self.done = False

    def take(self, buffer: bytearray) -> bytes:
        """Remove what can be decoded from the start of `buffer`; empty where more octets are needed, or at the end."""
        out = bytearray()
        while not self.done and self._state(buffer, out):
            pass
        return bytes(out)

    def _size(self, buffer: bytearray, out: bytearray) -> bool:
        line = _take_line(buffer)
        if line is None:
            return False
        digits = line.split(b";")[0].strip()
        if not digits or len(digits) > 15 or not all(byte in b"0123456789abcdefABCDEF" for byte in digits):
            raise ProtocolError("malformed chunk size")
        self._left = int(digits, 16)
        self._state = self._data if self._left else self._trailer
        return True

    def _data(self, buffer: bytearray, out: bytearray) -> bool:
        part = buffer[: self._left]
        out += part
        del buffer[: len(part)]
        self._left -= len(part)
        if not self._left:
            self._state = self._data_end
        return bool(part)

    def _data_end(self, buffer: bytearray, out: bytearray) -> bool:
        line = _take_line(buffer)
        if line is None:
            return False
        if line:
            raise ProtocolError("chunk is longer than its size")
        self._state = self._size
        return True

    def _trailer(self, buffer: bytearray, out: bytearray) -> bool:
        line = _take_line(buffer)
        self.done = line == b""
        return line is not None


def _take_line(buffer: bytearray) -> bytes | None:
    end = buffer.find(b"\n", 0, MAX_CHUNK_LINE)
    if end < 0:
        if len(buffer) >= MAX_CHUNK_LINE:
            raise ProtocolError("chunk line too long")
        return None
    line = bytes(buffer[:end]).removesuffix(b"\r")
    del buffer[: end + 1]
    return line


def response_head(status: int, headers: dict[str, str]) -> bytes:
    """Status line and header fields, ready to send."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\n{fields}\r\n".encode("latin-1", "replace")
