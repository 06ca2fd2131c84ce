"""One blocking HTTP/1.1 connection."""

from __future__ import annotations

import select

from sampan.errors import Unavailable

from .call import Call
from .http11 import LAST_CHUNK, Body, Head, chunk, request_head, split_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Iterator
    from typing import Any

READ_SIZE = 65536


class Response:
    """A head that has arrived, and the body as it comes."""

    def __init__(self, connection: Connection, head: Head, rest: bytes, method: str) -> None:
        self.connection, self.head = connection, head
        self._buffer = rest
        self._body = Body(head, method)

    @property
    def reusable(self) -> bool:
        return self._body.done and self.head.headers.get("connection", "").lower() != "close"

    def take_buffer(self) -> bytes:
        """What was read beyond the head (for a hijacked stream)."""
        data, self._buffer = self._buffer, b""
        return data

    def pieces(self) -> Iterator[bytes]:
        while True:
            payload = self._body.feed(self.take_buffer()) if self._buffer else b""
            if payload:
                yield payload
            if self._body.done:
                return
            self._buffer = self.connection.receive()
            if not self._buffer:
                self._body.end()
                return

    def read(self) -> bytes:
        try:
            return b"".join(self.pieces())
        except BaseException:
            self.connection.close()
            raise

    def lines(self) -> Iterator[bytes]:
        """Lines that are not empty; messages of a JSON stream end with a line break."""
        pending = b""
        for piece in self.pieces():
            *complete, pending = (pending + piece).split(b"\n")
            yield from (line for line in complete if line.strip())
        if pending.strip():
            yield pending


class Connection:
    """Owns the socket."""

    def __init__(self, connection: socket) -> None:
        self.socket = connection

    def close(self) -> None:
        self.socket.close()

    def receive(self) -> bytes:
        try:
            return self.socket.recv(READ_SIZE)
        except ConnectionResetError:
            return b""

    def usable(self) -> bool:
        """Whether an idle connection is still open: the server's end of it would be readable."""
        return not select.select([self.socket], [], [], 0)[0]

    def request(self, call: Call[Any], prefix: str, headers: dict[str, str]) -> Response:
        try:
            upload_error = self._send(call, prefix, headers)
            return Response(self, *self._head(upload_error), call.method)
        except BaseException:
            self.close()
            raise

    def _head(self, upload_error: OSError | None) -> tuple[Head, bytes]:
        buffer = b""
        while (parts := split_head(buffer)) is None:
            data = self.receive()
            if not data:
                raise self._closed(upload_error)
            buffer += data
        return parts

    def _closed(self, upload_error: OSError | None) -> ConnectionClosed:
        """With TLS 1.3 a server refuses a client's certificate only now: the tunnel knows."""
        reason = getattr(self.socket, "failure", None) or upload_error or "unexpected EOF"
        return ConnectionClosed(f"error during connect: {reason}")

    def _send(self, call: Call[Any], prefix: str, headers: dict[str, str]) -> OSError | None:
        """A server may answer and close before it has read the whole body: its answer is still to be read."""
        try:
            self._send_parts(call, call.target(prefix), headers)
        except (BrokenPipeError, ConnectionResetError) as error:
            return error
        return None

    def _send_parts(self, call: Call[Any], path: str, headers: dict[str, str]) -> None:
        body = call.body
        if body is None or isinstance(body, bytes):
            if body is not None or call.method in ("POST", "PUT"):
                headers["Content-Length"] = str(len(body or b""))
            self.socket.sendall(request_head(call.method, path, headers) + (body or b""))
            return
        headers["Transfer-Encoding"] = "chunked"
        self.socket.sendall(request_head(call.method, path, headers))
        for piece in body:
            if piece:
                self.socket.sendall(chunk(piece))
        self.socket.sendall(LAST_CHUNK)


class ConnectionClosed(Unavailable):
    """The server closed the connection instead of answering."""
