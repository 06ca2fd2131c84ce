"""The way to a registry: proxies, private authorities, tokens that run out in mid-push."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from sampan.engine import images as use
from sampan.engine.pull import PullRequest, pull
from sampan.engine.push import PushRequest, push
from sampan.errors import SampanError
from sampan.image.importing import ImportOptions
from sampan.oci import reference
from sampan.oci.platform import parse as platform
from sampan.registry.config import AuthConfig

from ...support.imagehost import FAST, Host, body, layer_tar
from ...support.registries import docker_registry, faulty_proxy, needs_docker_registry
from .test_auth import TokenServer
from .test_auth import tokens as tokens  # a fixture

pytestmark = needs_docker_registry


async def make(host: Host, name: str) -> str:
    tar = layer_tar({"x": os.urandom(200_000)})
    return (await use.import_image(host, body(tar), ImportOptions(platform("linux/amd64")), reference.parse(name))).id


async def there_and_back(host: Host, other: Host, name: str, auth: AuthConfig = AuthConfig()) -> None:  # noqa: B008
    made = await make(host, name)
    await push(host, PushRequest(reference.parse(name), auth), lambda _: None)
    (image,) = await pull(other, PullRequest(reference.parse(name), auth=auth), lambda _: None)
    assert image.id == made


@dataclass
class HttpProxy:
    """A forward proxy: absolute URIs, and CONNECT. Whatever host is asked for, it goes to `target`."""

    target: str
    lines: list[str] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = self.target.partition(":")
        there, back = await asyncio.open_connection(host, int(port))
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.lines.append(head.split(b"\r\n", 1)[0].decode())
            if head.startswith(b"CONNECT"):
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                back.write(head)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            back.close()
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            self.lines += [line.decode() for line in data.split(b"\r\n") if line.endswith(b" HTTP/1.1")]
            writer.write(data)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def http_proxy(target: str) -> AsyncIterator[tuple[HttpProxy, str]]:
    proxy = HttpProxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield proxy, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def certificate(directory: Path, name: str) -> None:
    """An authority, and a server's certificate signed by it."""
    directory.mkdir()
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for command in (
        ["req", "-x509", *key, "-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.crt"],
        ["req", *key, "-subj", "/CN=x", "-addext", f"subjectAltName={name}", "-keyout", "key", "-out", "csr"],
        ["x509", "-req", "-in", "csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-copy_extensions",
         "copy", "-out", "cert"],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], cwd=directory, check=True, capture_output=True)


async def test_docker_registry_behind_a_private_authority(tmp_path: Path) -> None:
    certificate(tmp_path / "pki", "IP:127.0.0.1,DNS:registry.example")
    tls = {"tls": {"certificate": f"{tmp_path}/pki/cert", "key": f"{tmp_path}/pki/key"}}
    # A name that is not loopback, so that TLS must hold; the proxy finds the way.
    async with docker_registry(tmp_path / "registry", http=tls) as address, http_proxy(address) as (proxy, url):
        trusted = tmp_path / "certs.d" / "registry.example:443"
        config = replace(FAST, https_proxy=url, certs_dirs=(f"{tmp_path}/certs.d",), max_attempts=1)
        host, other = Host(tmp_path / "host", config), Host(tmp_path / "other", config)
        with pytest.raises(SampanError, match="x509"):
            await there_and_back(host, other, "registry.example:443/x:1")
        trusted.mkdir(parents=True)
        (trusted / "ca.crt").write_bytes((tmp_path / "pki/ca.crt").read_bytes())
        await there_and_back(host, other, "registry.example:443/x:2")
        assert set(proxy.lines) == {"CONNECT registry.example:443 HTTP/1.1"}


async def test_a_plain_registry_through_a_proxy_and_past_it(tmp_path: Path) -> None:
    async with docker_registry(tmp_path / "registry") as address, http_proxy(address) as (proxy, url):
        config = replace(FAST, http_proxy=url, https_proxy=url, insecure=("registry.example:5000",), max_attempts=1)
        await there_and_back(Host(tmp_path / "a", config), Host(tmp_path / "b", config), "registry.example:5000/x:1")
        assert any(line.startswith("PUT http://registry.example:5000/v2/x/manifests/1") for line in proxy.lines)
        proxy.lines.clear()
        await there_and_back(Host(tmp_path / "c", config), Host(tmp_path / "d", config), f"{address}/y:1")
        assert not proxy.lines  # loopback is never proxied
        past = Host(tmp_path / "e", replace(config, no_proxy=".example"))
        with pytest.raises(SampanError, match=r"registry\.example"):
            await pull(past, PullRequest(reference.parse("registry.example:5000/x:1")), lambda _: None)
        assert not proxy.lines


async def test_a_token_that_runs_out_in_mid_push(tmp_path: Path, tokens: tuple[TokenServer, str]) -> None:
    server, realm = tokens
    auth = {"token": {"realm": f"http://{realm}/token", "service": "registry", "issuer": "tokens",
                      "rootcertbundle": f"{server.directory}/cert"}}  # fmt: skip
    challenge = f'Bearer realm="http://{realm}/token",service="registry",scope="repository:x:pull,push"'
    async with docker_registry(tmp_path / "r", auth=auth) as upstream, faulty_proxy(upstream) as (proxy, address):
        steps = ("POST .*uploads", "PATCH .*uploads", "PUT .*uploads", "PUT .*manifests")
        proxy.answers = [(step, 401, {"WWW-Authenticate": challenge}) for step in steps]
        ann = AuthConfig(username="ann", password="secret")
        await there_and_back(Host(tmp_path / "host"), Host(tmp_path / "other"), f"{address}/x:1", ann)
        assert not proxy.answers
        assert len(server.asked) >= 5
