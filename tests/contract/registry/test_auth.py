"""Who gets which credentials: docker-registry with htpasswd and with a token server, redirects, mirrors, expiry."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from msgspec.structs import replace

from sampan.engine import images as use
from sampan.engine.login import login
from sampan.engine.pull import PullRequest, pull
from sampan.engine.push import PushRequest, push
from sampan.errors import NotFound, SampanError, Unauthorized
from sampan.image.importing import ImportOptions
from sampan.oci import reference
from sampan.oci.platform import parse as platform
from sampan.registry.auth import Challenge, parse_challenges, token_request
from sampan.registry.config import AuthConfig, RegistryConfig, endpoints, proxy_for

from ...support.imagehost import FAST, Host, body, layer_tar
from ...support.registries import docker_registry, faulty_proxy, needs_docker_registry, serving
from ...support.tokenserver import TokenServer

ANN = AuthConfig(username="ann", password="secret")
HTPASSWD = "ann:$2y$05$lFyjXFjRNuX0W/tAGgH2x.6uct8EBDiD/tRcYQGbCtspeUpCVJ6BC\n"


async def make(host: Host, name: str) -> str:
    tar = layer_tar({"x": os.urandom(100_000)})
    options = ImportOptions(platform("linux/amd64"))
    return (await use.import_image(host, body(tar), options, reference.parse(name))).manifest


async def go(host: Host, name: str, auth: AuthConfig) -> None:
    await push(host, PushRequest(reference.parse(name), auth), lambda _: None)


async def come(host: Host, name: str, auth: AuthConfig) -> str:
    return (await pull(host, PullRequest(reference.parse(name), auth=auth), lambda _: None))[0].manifest


@needs_docker_registry
async def test_docker_registry_with_htpasswd(tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    auth = {"htpasswd": {"realm": "test", "path": f"{tmp_path}/htpasswd"}}
    async with docker_registry(tmp_path / "r", auth=auth) as address:
        host = Host(tmp_path / "host")
        digest = await make(host, f"{address}/x:1")
        with pytest.raises(Unauthorized, match="no basic auth credentials"):
            await go(host, f"{address}/x:1", AuthConfig())
        await go(host, f"{address}/x:1", ANN)
        encoded = AuthConfig(auth=base64.b64encode(b"ann:secret").decode())
        assert await come(Host(tmp_path / "other"), f"{address}/x:1", encoded) == digest
        assert (await login(host, replace_address(ANN, address))).status == "Login Succeeded"
        with pytest.raises(Unauthorized, match="unauthorized"):
            await login(host, AuthConfig(username="ann", password="wrong", serveraddress=address))


def replace_address(auth: AuthConfig, address: str) -> AuthConfig:
    return AuthConfig(username=auth.username, password=auth.password, serveraddress=address)


@pytest.fixture
async def tokens(tmp_path: Path) -> AsyncIterator[tuple[TokenServer, str]]:
    server = TokenServer(tmp_path / "tokens")
    async with serving(server.handle) as address:
        yield server, address


@needs_docker_registry
async def test_docker_registry_with_a_token_server(tmp_path: Path, tokens: tuple[TokenServer, str]) -> None:
    server, realm = tokens
    auth = {"token": {"realm": f"http://{realm}/token", "service": "registry", "issuer": "tokens",
                      "rootcertbundle": f"{server.directory}/cert"}}  # fmt: skip
    async with docker_registry(tmp_path / "r", auth=auth) as upstream, faulty_proxy(upstream) as (proxy, address):
        host = Host(tmp_path / "host")
        digest = await make(host, f"{address}/x:1")
        await go(host, f"{address}/x:1", ANN)
        assert "repository:x:pull,push" in {scope for _, scope in server.asked}
        before = len(server.asked)
        # The registry finds the token too old in the middle of the pull: another one is fetched, once.
        header = {
            "WWW-Authenticate": f'Bearer realm="http://{realm}/token",service="registry",scope="repository:x:pull"'
        }
        proxy.answers = [("GET .*/blobs/", 401, header)]
        assert await come(Host(tmp_path / "other"), f"{address}/x:1", ANN) == digest
        assert 1 <= len(server.asked) - before <= 4
        with pytest.raises(SampanError, match="incorrect username or password"):
            await come(Host(tmp_path / "third"), f"{address}/x:1", AuthConfig(username="ann", password="no"))
        assert not any("c2VjcmV0" in sent or sent.startswith("Basic") for sent in proxy.authorizations)


async def test_credentials_do_not_follow_a_redirect_and_mirrors_get_none(tmp_path: Path) -> None:
    seen: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.Response(status=404)

    async with serving(elsewhere) as other:

        async def redirecting(request: web.Request) -> web.Response:
            if "Authorization" not in request.headers:
                return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            location = f"http://{other}{request.path}?signature=a%2Fb"
            return web.Response(status=307, headers={"Location": location})

        async with serving(redirecting) as address:
            with pytest.raises(NotFound):
                await come(Host(tmp_path), f"{address}/x:1", ANN)
            assert seen == [""]
        hub = replace(FAST, mirrors=(f"http://{other}",), hub=f"http://{other}", max_attempts=1)
        with pytest.raises(NotFound):
            await come(Host(tmp_path / "hub", hub), "x:1", ANN)
        assert set(seen) == {""}


def test_challenges_are_parsed() -> None:
    header = (
        'Bearer realm="https://a/t",service="s, with comma",scope="repository:x:pull,push", Basic realm="r \\"q\\""'
    )
    bearer, basic = parse_challenges([header])
    assert bearer == Challenge(
        "bearer", {"realm": "https://a/t", "service": "s, with comma", "scope": "repository:x:pull,push"}
    )
    assert basic == Challenge("basic", {"realm": 'r "q"'})
    with pytest.raises(Unauthorized, match="without TLS"):
        token_request(Challenge("bearer", {"realm": "http://plain/t"}), [], ANN, secure=True)
    with pytest.raises(Unauthorized, match="invalid token auth challenge realm"):
        token_request(Challenge("bearer", {"realm": "file:///etc/passwd"}), [], ANN, secure=False)
    refresh = token_request(bearer, ["repository:x:pull"], AuthConfig(identitytoken="t"), secure=True)
    assert (refresh.method, refresh.form["refresh_token"]) == ("POST", "t")


def test_endpoints_and_proxies() -> None:
    config = RegistryConfig(mirrors=("https://m.test",), insecure=("plain.test:5000", "10.0.0.0/8"))
    assert [endpoint.url for endpoint in endpoints(config, "docker.io")] == [
        "https://m.test", "https://registry-1.docker.io"
    ]  # fmt: skip
    for domain in ("localhost:5000", "127.0.0.1", "plain.test:5000", "10.1.2.3:80", "[::1]:5000"):
        assert [endpoint.url for endpoint in endpoints(config, domain)] == [f"https://{domain}", f"http://{domain}"]
    assert [endpoint.verify for endpoint in endpoints(config, "192.0.2.1")] == [True]
    proxies = RegistryConfig(
        http_proxy="p:1", https_proxy="http://s:2", no_proxy="no.test,.sub.test,192.0.2.0/24,port.test:81"
    )
    for url, proxy in {
        "http://a.test/x": "http://p:1", "https://a.test/x": "http://s:2", "https://no.test/": None,
        "https://x.no.test/": None, "https://a.sub.test:444/": None, "http://192.0.2.7/": None,
        "http://localhost/": None, "http://port.test:81/": None, "http://port.test:82/": "http://p:1",
    }.items():  # fmt: skip
        assert proxy_for(proxies, url) == proxy, url
