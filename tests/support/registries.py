"""Registries for tests: Debian's docker-registry as a peer, and a proxy that injects faults and counts bytes."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from .hosts import Host

needs_docker_registry = pytest.mark.skipif(not shutil.which("docker-registry"), reason="docker-registry is missing")


@asynccontextmanager
async def docker_registry(root: Path, **sections: Any) -> AsyncIterator[str]:
    """A docker-registry on a free loopback port; yields host:port. `sections` are merged into its configuration."""
    root.mkdir(parents=True, exist_ok=True)
    http = {"addr": "127.0.0.1:0", **sections.pop("http", {})}
    config = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": f"{root}/data"}, "delete": {"enabled": True}},
        "http": http,
        **sections,
    }
    (root / "registry.yml").write_text(json.dumps(config))  # JSON is YAML
    process = await asyncio.create_subprocess_exec(
        "docker-registry", "serve", f"{root}/registry.yml", env={"OTEL_TRACES_EXPORTER": "none", "PATH": "/usr/bin"},
        stdout=subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    seen = []
    drain: asyncio.Task[bytes] | None = None
    try:
        async for line in process.stderr:
            seen.append(line)
            if found := re.search(rb"listening on [^ ]*:([0-9]+)", line):
                break
        else:
            raise AssertionError(b"".join(seen).decode())
        drain = asyncio.create_task(process.stderr.read())
        yield f"127.0.0.1:{int(found[1])}"
    finally:
        process.terminate()
        await process.wait()
        if drain is not None:
            await drain


@contextmanager
def docker_registry_on(host: Host, root: Path, address: str, **sections: Any) -> Iterator[None]:
    """A docker-registry at an address of a host; several may serve one `root` in turn."""
    config = {
        "version": 0.1, "http": {"addr": address, **sections.pop("http", {})}, "log": {"accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": f"{root}/data"}, "delete": {"enabled": True}}, **sections,
    }  # fmt: skip
    root.mkdir(parents=True, exist_ok=True)
    (root / "registry.yml").write_text(json.dumps(config))
    server = host.popen("docker-registry", "serve", f"{root}/registry.yml", stderr=subprocess.PIPE,
                        env={"OTEL_TRACES_EXPORTER": "none", "PATH": "/usr/bin:/bin"})  # fmt: skip
    assert server.stderr is not None
    reader = threading.Thread(target=server.stderr.read)  # a full pipe would stop the registry
    try:
        assert any(b"listening on" in line for line in server.stderr)
        reader.start()
        yield
    finally:
        server.terminate()
        server.wait()
        reader.join()
        server.stderr.close()


Fault = Callable[[web.Request, "FaultyProxy"], web.StreamResponse | None]


@dataclass
class Cut:
    """Break the connection after so many bytes of a body, or stop sending until `resume` is set."""

    pattern: str
    after: int
    times: int = 1
    resume: asyncio.Event | None = None


@dataclass
class FaultyProxy:
    """Passes requests on to a registry. `sent` counts the body bytes of every path, `requests` the methods."""

    upstream: str
    answers: list[tuple[str, int, dict[str, str]]] = field(default_factory=list)
    """Pattern of `METHOD path`, status, headers: one request each is answered so, without asking the registry."""
    cuts: list[Cut] = field(default_factory=list)
    corrupt: str = ""
    """Pattern of paths whose bodies get a wrong byte."""
    ranges: bool = True
    sent: Counter[str] = field(default_factory=Counter)
    requests: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    first_bytes: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a cut has stalled a body."""

    def blob_bytes(self) -> int:
        return sum(count for path, count in self.sent.items() if "/blobs/sha256" in path)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        what = f"{request.method} {request.path}"
        self.requests.append(what)
        self.authorizations.append(request.headers.get("Authorization", ""))
        for answer in self.answers:
            if re.search(answer[0], what):
                self.answers.remove(answer)
                return web.Response(status=answer[1], headers=answer[2])
        return await self._forward(request, what)

    async def _forward(self, request: web.Request, what: str) -> web.StreamResponse:
        hop = {"host", "content-length", "transfer-encoding", "connection"}
        if not self.ranges:
            hop.add("range")
        headers = {key: value for key, value in request.headers.items() if key.lower() not in hop}
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            body = request.content if request.body_exists else None
            url = f"http://{self.upstream}{request.raw_path}"
            async with session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                return await self._reply(request, what, answer)

    async def _reply(self, request: web.Request, what: str, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status)
        for key, value in answer.headers.items():
            if key.lower() not in {"transfer-encoding", "connection", "content-length"}:
                response.headers[key] = value.replace(self.upstream, request.host)
        if "Content-Length" in answer.headers:
            response.content_length = int(answer.headers["Content-Length"])
        await response.prepare(request)
        cut = next((item for item in self.cuts if item.times and re.search(item.pattern, what)), None)
        if cut:
            cut.times -= 1
        total = 0
        async for chunk in answer.content.iter_chunked(16384):
            if self.corrupt and re.search(self.corrupt, what) and not total:
                chunk = bytes([chunk[0] ^ 1]) + chunk[1:]
            if cut and total + len(chunk) > cut.after:
                await self._cut(request, response, cut, chunk[: cut.after - total])
                break
            total += len(chunk)
            self.sent[request.path] += len(chunk)
            await response.write(chunk)
        return response

    async def _cut(self, request: web.Request, response: web.StreamResponse, cut: Cut, rest: bytes) -> None:
        self.sent[request.path] += len(rest)
        await response.write(rest)
        self.first_bytes.set()
        if cut.resume is not None:
            await cut.resume.wait()
        assert request.transport is not None
        request.transport.close()


@asynccontextmanager
async def faulty_proxy(upstream: str) -> AsyncIterator[tuple[FaultyProxy, str]]:
    """A proxy before a registry; yields it and its host:port."""
    proxy = FaultyProxy(upstream)
    async with serving(proxy.handle) as address:
        yield proxy, address


@asynccontextmanager
async def serving(handler: Callable[[web.Request], Any], ssl_context: Any = None) -> AsyncIterator[str]:
    """Any handler of aiohttp's on a free loopback port."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context)
    await site.start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
