"""A daemon that answers from a list of recorded responses: for tests of clients without an engine."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any


class Answer:
    """To `METHOD /path` (without version and query). `chunks` are sent with chunked coding; `raw` is sent as it is."""

    def __init__(
        self,
        request: str,
        body: Any = None,
        status: int = 200,
        headers: dict[str, str] | None = None,
        chunks: list[bytes] | None = None,
        raw: bytes | None = None,
    ) -> None:
        self.request, self.status, self.headers = request, status, headers or {}
        self.body = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        self.chunks, self.raw = chunks, raw

    def encoded(self, method: str) -> bytes:
        if self.raw is not None:
            return self.raw
        headers = dict(self.headers)
        if self.chunks is not None:
            headers["Transfer-Encoding"] = "chunked"
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in self.chunks) + b"0\r\n\r\n"
        else:
            headers["Content-Length"] = str(len(self.body))
            body = b"" if method == "HEAD" else self.body
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


PING = Answer("HEAD /_ping", headers={"Api-Version": "1.51", "Ostype": "linux"})


class Replay:
    """Listens on a unix socket; `requests` are the lines that came, `bodies` what came with them."""

    def __init__(self, directory: Path, *answers: Answer) -> None:
        self._answers = {answer.request: answer for answer in (PING, *answers)}
        self.path = str(directory / "replay.sock")
        self.requests: list[str] = []
        self.bodies: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def __enter__(self) -> Replay:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            while line := reader.readline().decode():
                headers = {}
                while (header := reader.readline().decode().strip()) != "":
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                method, target, _ = line.split(" ")
                self.requests.append(f"{method} {target}")
                self.bodies.append(_body(reader, headers))
                if not self._answer(connection, method, target):
                    return

    def _answer(self, connection: socket.socket, method: str, target: str) -> bool:
        """False where the connection is used up."""
        path = target.partition("?")[0]
        if path.startswith("/v1."):
            path = "/" + path.split("/", 2)[2]
        missing = Answer("", {"message": f"page not found: {path}"}, 404)
        answer = self._answers.get(f"{method} {path}", missing)
        try:
            connection.sendall(answer.encoded(method))
        except BrokenPipeError:
            return False
        return answer.raw is None


def _body(reader: Any, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        data: bytes = reader.read(int(headers.get("content-length", "0")))
        return data
    parts = []
    while size := int(reader.readline(), 16):
        parts.append(reader.read(size))
        reader.readline()
    reader.readline()
    return b"".join(parts)
