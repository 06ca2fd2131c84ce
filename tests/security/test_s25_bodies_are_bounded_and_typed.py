"""S25: whatever a client sends, the answer is a status that blames it, in Docker's error document; never a traceback.

Requests are made from the table of routes and the types of the bodies, with values of every kind in every place.
"""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from msgspec import inspect

from sampan.api.routes import ROUTES
from sampan.api.swarm import no_manager
from sampan.engine.exec_config import ExecConfig
from sampan.engine.update import UpdateRequest
from sampan.model.container import CreateRequest, EndpointSettings, HostConfig
from sampan.network.spec import NetworkSpec
from sampan.wire.storage import Connect, Disconnect, VolumeCreate

from ..support.daemon import Daemon

COUNT = 5000 if os.environ.get("SAMPAN_FUZZ") == "long" else 500
KINDS: list[type[msgspec.Struct]] = [
    CreateRequest, HostConfig, EndpointSettings, ExecConfig, NetworkSpec, VolumeCreate, Connect, Disconnect,
]  # fmt: skip
NAMES = sorted({field.encode_name for kind in KINDS for field in msgspec.structs.fields(kind)})
KEYS = (
    "all", "limit", "size", "filters", "name", "platform", "t", "signal", "h", "w", "force", "v", "link", "condition",
    "ps_args", "stdout", "stderr", "stdin", "stream", "logs", "since", "until", "tail", "timestamps", "detachKeys",
    "path", "noOverwriteDirNonDir", "repo", "tag", "container", "changes", "pause", "type", "one-shot", "names",
    "quiet", "noprune", "digests", "shared-size", "verbose", "scope", "fromSrc",
)  # fmt: skip
TEXTS = (
    "", "0", "1", "-1", "busybox", "nosuch", "a" * 5000, "../../etc/passwd", "/etc/passwd", "x\x00y",
    "\ud7ff ü \U0001f40b", '{"label":{"a":true}}', '{"status":["nosuch"]}', "{", "[]", "sha256:" + "0" * 64, "%zz",
    "1e9", "99999999999999999999", "9" * 5000, "\u00b2", "1.\u00b2", "\u0661",
    "host", "none", "container:nosuch", "80/tcp", "1.1.1.1", "::1", "'; rm -rf /", "-",
    "on-failure:x", "*" * 50, "(" * 50,
)  # fmt: skip
TALKS_TO_REGISTRIES = ("/images/search", "/auth", "/distribution/{name:*}/json", "/images/{name:*}/push")
FUZZED = [route for route in ROUTES if route[1] not in TALKS_TO_REGISTRIES and route[2] is not no_manager]
MAKERS: list[tuple[str, type[msgspec.Struct]]] = [
    ("/containers/create", CreateRequest), ("/containers/create", CreateRequest), ("/containers/create", CreateRequest),
    ("/networks/create", NetworkSpec), ("/volumes/create", VolumeCreate), ("/containers/{id}/exec", ExecConfig),
    ("/containers/{id}/update", UpdateRequest), ("/networks/{id}/connect", Connect),
]  # fmt: skip


class Maker:
    """Makes requests from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def value(self, depth: int = 0) -> Any:
        choices: list[Callable[[], Any]] = [
            lambda: self.random.choice(TEXTS).replace("\x00", ""),
            lambda: self.random.choice([0, 1, -1, 1 << 31, 1 << 63, -(1 << 63), 6 << 20, 1.5, 1e300]),
            lambda: self.random.choice([True, False, None]),
            dict,
            list,
        ]
        if depth < 4:
            choices += [lambda: self.document(depth + 1), lambda: [self.value(depth + 1) for _ in range(2)]]
        return self.random.choice(choices)()

    def document(self, depth: int = 0) -> dict[str, Any]:
        names = self.random.choices(NAMES, k=self.random.randint(0, 5))
        made = {name: self.value(depth + 1) for name in names}
        if depth == 0 and self.random.random() < 0.6:
            made |= {"Image": "busybox", "Cmd": ["true"]}
        return made

    def typed(self, info: inspect.Type, depth: int = 0) -> Any:
        """Mostly a value of that type, so that it gets past the decoder."""
        if self.random.random() < 0.03:
            return self.value(3)
        if isinstance(info, inspect.UnionType):
            return self.typed(info.types[0], depth)
        if isinstance(info, inspect.StructType):
            fields = self.random.sample(info.fields, min(len(info.fields), self.random.randint(0, 4)))
            return {field.encode_name: self.typed(field.type, depth + 1) for field in fields}
        if isinstance(info, inspect.ListType):
            return [self.typed(info.item_type, depth + 1) for _ in range(self.random.randint(0, 2))]
        if isinstance(info, inspect.DictType):
            return {self.random.choice(TEXTS): self.typed(info.value_type, depth + 1)}
        if isinstance(info, inspect.IntType):
            return self.random.choice([0, 1, -1, 1 << 31, (1 << 63) - 1, -(1 << 63), 6 << 20, 100])
        return self.random.choice([True, False]) if isinstance(info, inspect.BoolType) else self.random.choice(TEXTS)

    def creation(self) -> tuple[str, str, bytes]:
        """A request that makes something."""
        path, kind = self.random.choice(MAKERS)
        document = self.typed(inspect.type_info(kind))
        if kind is CreateRequest and isinstance(document, dict):
            host = self.typed(inspect.type_info(HostConfig))
            document |= {"Image": "busybox", "HostConfig": host} if self.random.random() < 0.9 else {}
        return "POST", path, json.dumps(document).encode()

    def anything(self) -> tuple[str, str, bytes]:
        """A request of any route."""
        method, path, _ = self.random.choice(FUZZED)
        return method, path, self.body() if method in ("POST", "PUT") else b""

    def body(self) -> bytes:
        if self.random.random() < 0.1:
            return self.random.choice([b"", b"{", b"null", b"5", b"\xff\xfe", b"[" * 5000, b'"x"', b"{}{}"])
        return json.dumps(self.document()).encode()

    def request(self) -> bytes:
        method, path, body = self.creation() if self.random.random() < 0.5 else self.anything()
        for place in ("{id}", "{name}", "{name:*}"):
            path = path.replace(place, quote(self.random.choice(TEXTS) or "x", safe=""))
        keys = self.random.choices(KEYS, k=self.random.randint(0, 4))
        query = "&".join(f"{key}={quote(self.random.choice(TEXTS))}" for key in keys)
        version = self.random.choice(["/v1.51"] * 6 + ["/v1.24", "/v1.40", "/v1.43", "", "/v1.99", "/v1"])
        head = [f"{method} {version}{path}?{query} HTTP/1.1", "Host: d", f"Content-Length: {len(body)}"]
        head += [self.random.choice(["Content-Type: application/json"] * 20 + ["Content-Type: text/plain", "X: y"])]
        head += self.random.choice([[], [], ["Connection: Upgrade", "Upgrade: tcp"]])
        return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def ask(daemon: Daemon, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer; of a stream only the head."""
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(30)
        connection.connect(daemon.socket)
        connection.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            assert part, f"no answer to {request!r}"
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        while len(body) < int(headers.get("content-length", "0")) and not request.startswith(b"HEAD"):
            body += connection.recv(65536)
        return int(lines[0].split()[1]), headers, body


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Daemon]:
    daemon = Daemon().start()
    daemon.load_busybox()
    yield daemon
    daemon.close()


@pytest.mark.parametrize("seed", range(4))
def test_s25_no_request_is_the_daemons_fault(fuzzed: Daemon, seed: int) -> None:
    maker = Maker(seed)
    for _ in range(COUNT // 4):
        request = maker.request()
        status, headers, body = ask(fuzzed, request)
        # 501 and 503 are answers of routes that this engine does not offer.
        assert status < 500 or status in (501, 503), f"{request!r}\n{status} {body!r}\n{fuzzed.log[-3000:]}"
        if status >= 400 and headers.get("content-type") == "application/json" and not request.startswith(b"HEAD"):
            assert isinstance(json.loads(body)["message"], str), request
    assert "Traceback" not in fuzzed.log, fuzzed.log[-5000:]
    assert ask(fuzzed, b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")[2] == b"OK"


def test_s25_bodies_have_a_bound(fuzzed: Daemon) -> None:
    head = "POST /v1.51/containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
    big = b'{"Image": "' + b"x" * (17 << 20) + b'"}'
    for framing, data in (
        (f"Content-Length: {len(big)}", big),
        ("Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(big), big)),
    ):
        with closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.settimeout(30)
            connection.connect(fuzzed.socket)
            try:
                connection.sendall(f"{head}{framing}\r\n\r\n".encode() + data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # answered and closed before everything was sent
            assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
    status, _, _ = ask(fuzzed, b"GET /" + b"x" * (300 << 10) + b" HTTP/1.1\r\n\r\n")
    assert status == 400
