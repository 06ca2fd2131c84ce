"""HTTP/1.1 as a client needs it (RFC 9112), without I/O: both clients feed it what their sockets deliver.

http.client costs 25 ms of start-up (it imports the e-mail package), which is more than a whole `sampan run` may take.
"""

from __future__ import annotations

from sampan.errors import Unavailable

HEAD_LIMIT = 256 * 1024
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PATH_SAFE = _UNRESERVED | frozenset(b"/:@")


class ProtocolError(Unavailable):
    """The server's bytes are not HTTP/1.1, or end too early."""


def quote(text: str, safe: frozenset[int] = _PATH_SAFE) -> str:
    """Percent-encode as UTF-8 (RFC 3986)."""
    data = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in data)


def query_string(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{quote(key, _UNRESERVED)}={quote(value, _UNRESERVED)}" for key, value in pairs)


def request_head(method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any(character in line for line in lines for character in "\r\n"):
        raise ProtocolError("line break in a header")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


class Head:
    """Status line and headers (names in lower case)."""

    __slots__ = ("headers", "reason", "status")

    def __init__(self, status: int, reason: str, headers: dict[str, str]) -> None:
        self.status, self.reason, self.headers = status, reason, headers


def parse_head(data: bytes) -> Head:
    """`data` ends before the empty line."""
    first, *rest = data.decode("latin-1").split("\r\n")
    version, _, remainder = first.partition(" ")
    code, _, reason = remainder.partition(" ")
    if not version.startswith("HTTP/1.") or not code.isdigit():
        raise ProtocolError(f"not an HTTP response: {first[:80]!r}")
    headers = {}
    for line in rest:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return Head(int(code), reason, headers)


def split_head(buffer: bytes) -> tuple[Head, bytes] | None:
    """The head and what follows it, or None while it is incomplete."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > HEAD_LIMIT:
            raise ProtocolError("response head is too large")
        return None
    return parse_head(buffer[:end]), buffer[end + 4 :]


class Body:
    """Decodes one response body. `feed` returns payload; `done` once it is complete."""

    def __init__(self, head: Head, method: str) -> None:
        self.done = method == "HEAD" or head.status in (204, 304) or 100 <= head.status < 200
        self._chunked = "chunked" in head.headers.get("transfer-encoding", "").lower()
        length = head.headers.get("content-length")
        self._left: int | None = int(length) if length is not None and length.isdigit() else None
        self._buffer = b""
        self._in_trailer = False
        if self._chunked:
            self._left = 0
        elif self._left == 0:
            self.done = True

    def feed(self, data: bytes) -> bytes:
        if self.done:
            return b""
        if self._chunked:
            return self._feed_chunked(data)
        if self._left is None:
            return data
        payload = data[: self._left]
        self._left -= len(payload)
        self.done = self._left == 0
        return payload

    def end(self) -> None:
        """The connection is closed: the end of a body without a length, an error otherwise."""
        if not self.done and (self._chunked or self._left is not None):
            raise ProtocolError("unexpected EOF")
        self.done = True

    def _feed_chunked(self, data: bytes) -> bytes:
        self._buffer += data
        parts: list[bytes] = []
        while not self.done and self._step(parts):
            pass
        return b"".join(parts)

    def _step(self, parts: list[bytes]) -> bool:
        """Take one piece out of the buffer; False when more input is needed."""
        if self._left:
            return self._take_payload(parts)
        line, separator, rest = self._buffer.partition(b"\r\n")
        if not separator:
            return False
        self._buffer = rest
        if self._in_trailer:
            self.done = not line
        elif line:
            self._start_chunk(line)
        return True

    def _take_payload(self, parts: list[bytes]) -> bool:
        left = self._left or 0
        payload = self._buffer[:left]
        if not payload:
            return False
        parts.append(payload)
        self._buffer = self._buffer[len(payload) :]
        self._left = left - len(payload)
        return True

    def _start_chunk(self, line: bytes) -> None:
        try:
            self._left = int(line.split(b";")[0], 16)
        except ValueError as error:
            raise ProtocolError(f"bad chunk size {line[:40]!r}") from error
        self._in_trailer = self._left == 0
