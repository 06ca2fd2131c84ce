"""Our registry: the distribution-spec, request by request, and with skopeo as a client."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from sampan.engine import images as use
from sampan.engine.login import login
from sampan.engine.pull import PullRequest, pull
from sampan.engine.push import PushRequest, push
from sampan.engine.search import search
from sampan.errors import NotFound, Unauthorized
from sampan.image.importing import ImportOptions
from sampan.oci import manifest as manifests
from sampan.oci import reference
from sampan.oci.platform import parse as platform
from sampan.registry.config import AuthConfig
from sampan.registry.server.config import ServerConfig, TokenAuth, Upstream
from sampan.registry.server.run import collect_garbage, serving

from ...support.imagehost import FAST, Host, body, layer_tar

BLOB = os.urandom(300_000)


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@asynccontextmanager
async def server(root: Path, **settings: Any) -> AsyncIterator[tuple[Any, str]]:
    config = ServerConfig(str(root), host="127.0.0.1", port=0, gc_grace=0, **settings)
    async with serving(config) as (registry, port):
        yield registry, f"127.0.0.1:{port}"


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with server(tmp_path / "registry") as (_, address), aiohttp.ClientSession(f"http://{address}") as session:
        yield session


async def upload(http: aiohttp.ClientSession, data: bytes, name: str = "a/b") -> str:
    async with http.post(f"/v2/{name}/blobs/uploads/?digest={digest_of(data)}", data=data) as answer:
        assert answer.status == 201
        return answer.headers["Docker-Content-Digest"]


async def put_image(http: aiohttp.ClientSession, reference: str, name: str = "a/b", **more: Any) -> str:
    config, layer = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}', BLOB
    parts = [
        {"mediaType": kind, "digest": await upload(http, data, name), "size": len(data)}
        for kind, data in ((manifests.OCI_CONFIG, config), (manifests.OCI_LAYER_GZIP, layer))
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": manifests.OCI_MANIFEST,
        "config": parts[0],
        "layers": parts[1:],
        **more,
    }
    data = json.dumps(document).encode()
    headers = {"Content-Type": manifests.OCI_MANIFEST}
    async with http.put(f"/v2/{name}/manifests/{reference}", data=data, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
        return answer.headers["Docker-Content-Digest"]


async def test_blobs_in_chunks_with_ranges_and_resumption(http: aiohttp.ClientSession) -> None:
    async with http.post("/v2/a/b/blobs/uploads/") as answer:
        assert answer.status == 202
        location = answer.headers["Location"]
    halves = BLOB[:100_000], BLOB[100_000:]
    async with http.patch(location, data=halves[0], headers={"Content-Range": "0-99999"}) as answer:
        assert (answer.status, answer.headers["Range"]) == (202, "0-99999")
    async with http.patch(location, data=halves[1], headers={"Content-Range": "5-200004"}) as answer:
        assert (answer.status, answer.headers["Range"]) == (416, "0-99999")
    async with http.get(location) as answer:
        assert (answer.status, answer.headers["Range"]) == (204, "0-99999")
    async with http.put(f"{location}?digest={digest_of(BLOB)}", data=halves[1]) as answer:
        assert answer.status == 201
        blob = answer.headers["Location"]
    async with http.get(blob, headers={"Range": "bytes=10-19"}) as answer:
        assert (answer.status, await answer.read()) == (206, BLOB[10:20])
    async with http.head(blob) as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(BLOB)))
    async with http.get(blob) as answer:
        assert await answer.read() == BLOB
    async with http.post(f"/v2/c/blobs/uploads/?mount={digest_of(BLOB)}&from=a/b") as answer:
        assert answer.status == 201
    async with http.delete(blob) as answer:
        assert answer.status == 202


async def test_an_upload_that_is_written_to_cannot_be_finished(http: aiohttp.ClientSession) -> None:
    """The rest would go into a blob that was verified, for all repositories to see."""
    async with http.post("/v2/a/b/blobs/uploads/") as answer:
        location = answer.headers["Location"]
    go_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield BLOB * 40  # more than is kept before the first write
        await go_on.wait()
        yield b"poison"

    patching = asyncio.create_task(_status(http.patch(location, data=body())))
    async with asyncio.timeout(30):
        while await _range(http, location) == "0-0":
            await asyncio.sleep(0)
    refused = await _status(http.put(f"{location}?digest={digest_of(BLOB)}"))
    go_on.set()
    assert (refused, await patching) == (409, 202)
    assert await _status(http.put(f"{location}?digest={digest_of(BLOB * 40 + b'poison')}")) == 201


async def _range(http: aiohttp.ClientSession, location: str) -> str:
    async with http.get(location) as answer:
        return answer.headers["Range"]


async def _status(request: Any) -> int:
    async with request as answer:
        return int(answer.status)


async def test_wrong_digests_and_names_are_refused(http: aiohttp.ClientSession) -> None:
    cases = [
        ("POST", f"/v2/a/blobs/uploads/?digest={digest_of(b'x')}", 400, "DIGEST_INVALID"),
        ("GET", "/v2/a/blobs/sha256:zz", 400, "DIGEST_INVALID"),
        ("GET", f"/v2/a/blobs/{digest_of(b'x')}", 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/a/manifests/latest", 404, "MANIFEST_UNKNOWN"),
        ("GET", "/v2/a/tags/list", 404, "NAME_UNKNOWN"),
        ("PATCH", "/v2/a/blobs/uploads/" + "0" * 32, 404, "BLOB_UPLOAD_UNKNOWN"),
        ("PATCH", "/v2/a/blobs/uploads/..%2f..%2fx", 400, "NAME_INVALID"),
        ("GET", "/v2/A/tags/list", 400, "NAME_INVALID"),
        ("PUT", "/v2/a/manifests/x", 400, "MANIFEST_INVALID"),
        ("DELETE", "/v2/a/tags/list", 405, "UNSUPPORTED"),
    ]
    for method, path, status, code in cases:
        async with http.request(method, path, data=b"other") as answer:
            assert (answer.status, (await answer.json())["errors"][0]["code"]) == (status, code), path


async def test_a_manifest_is_accepted_only_when_whole(http: aiohttp.ClientSession) -> None:
    digest = await put_image(http, "v1")
    missing = {"mediaType": manifests.OCI_LAYER_GZIP, "digest": digest_of(b"missing"), "size": 7}
    for document in (
        {"config": missing, "layers": []},
        {"manifests": [{**missing, "mediaType": manifests.OCI_MANIFEST}]},
    ):
        data = json.dumps({"schemaVersion": 2, **document}).encode()
        async with http.put("/v2/a/b/manifests/v2", data=data) as answer:
            assert (await answer.json())["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"
    async with http.get("/v2/a/b/manifests/v1") as answer:
        assert answer.headers["Docker-Content-Digest"] == digest == digest_of(await answer.read())
        assert answer.headers["Content-Type"] == manifests.OCI_MANIFEST
    async with http.delete("/v2/a/b/manifests/v1") as answer:
        assert answer.status == 202
    async with http.head(f"/v2/a/b/manifests/{digest}") as answer:
        assert answer.status == 200
    async with http.delete(f"/v2/a/b/manifests/{digest}") as answer:
        assert answer.status == 202


async def test_lists_are_paged_and_referrers_found(http: aiohttp.ClientSession) -> None:
    for tag in ("c", "a", "b"):
        subject = await put_image(http, tag)
    async with http.get("/v2/a/b/tags/list?n=2") as answer:
        assert (await answer.json())["tags"] == ["a", "b"]
        following = answer.links["next"]["url"]
    async with http.get(following) as answer:
        assert (await answer.json())["tags"] == ["c"]
        assert not answer.links
    async with http.get("/v2/_catalog") as answer:
        assert await answer.json() == {"repositories": ["a/b"]}
    about = {"mediaType": manifests.OCI_MANIFEST, "digest": subject, "size": 1}
    signature = await put_image(http, "sig", subject=about, artifactType="test/signature", annotations={"k": "v"})
    for query, count in (("", 1), ("?artifactType=test/signature", 1), ("?artifactType=other", 0)):
        async with http.get(f"/v2/a/b/referrers/{subject}{query}") as answer:
            entries = (await answer.json(content_type=None))["manifests"]
            assert [entry["digest"] for entry in entries] == [signature] * count
            assert not entries or (entries[0]["artifactType"], entries[0]["annotations"]) == (
                "test/signature",
                {"k": "v"},
            )


async def test_garbage_collection_on_the_live_store(tmp_path: Path) -> None:
    async with server(tmp_path / "registry") as (registry, address), aiohttp.ClientSession(f"http://{address}") as http:
        await put_image(http, "kept")
        stray = await upload(http, b"stray")
        gone = await put_image(http, "gone", annotations={"a": "b"})
        async with http.delete(f"/v2/a/b/manifests/{gone}"):
            pass
        found = await collect_garbage(registry)
        assert found.blobs == 2
        assert not registry.storage.store.exists(stray)
        for layer in (digest_of(BLOB),):
            assert registry.storage.store.exists(layer)
        async with http.get("/metrics") as answer:
            assert "sampan_registry_blobs 3" in await answer.text()


async def test_the_page_shows_what_is_there_and_escapes_it(http: aiohttp.ClientSession) -> None:
    digest = await put_image(http, "v1", annotations={"<script>": "x"})
    for path, text in (("/", "a/b"), ("/r/a/b", "v1"), (f"/r/a/b@{digest}", digest_of(BLOB))):
        async with http.get(path) as answer:
            page = await answer.text()
            assert answer.status == 200 and text in page and "<script" not in page
    async with http.get("/r/../../etc") as answer:
        assert answer.status == 404


async def make(host: Host, name: str, content: bytes = BLOB) -> str:
    options = ImportOptions(platform("linux/amd64"))
    return (await use.import_image(host, body(layer_tar({"x": content})), options, reference.parse(name))).manifest


async def go(host: Host, name: str, auth: AuthConfig = AuthConfig()) -> None:  # noqa: B008 - a frozen value
    await push(host, PushRequest(reference.parse(name), auth), lambda _: None)


async def come(host: Host, name: str, auth: AuthConfig = AuthConfig()) -> str:  # noqa: B008 - a frozen value
    return (await pull(host, PullRequest(reference.parse(name), auth=auth), lambda _: None))[0].manifest


@pytest.mark.parametrize("kind", ["htpasswd", "token"])
async def test_users_log_in(tmp_path: Path, kind: str) -> None:
    users = tmp_path / "htpasswd"
    # bcrypt of «secret», as `htpasswd -B` writes it
    users.write_text(
        "ann:$2y$05$lFyjXFjRNuX0W/tAGgH2x.6uct8EBDiD/tRcYQGbCtspeUpCVJ6BC\nbob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"
    )
    token = TokenAuth(lifetime=2) if kind == "token" else None
    async with server(tmp_path / "r", htpasswd=str(users), token=token, anonymous_pull=True) as (_, address):
        host = Host(tmp_path / "host")
        name = f"{address}/private:1"
        digest = await make(host, name)
        bob = AuthConfig(username="bob", password="secret", serveraddress=address)
        assert (await login(host, bob)).status == "Login Succeeded"
        ann = AuthConfig(username="ann", password="secret", serveraddress=address)
        assert (await login(host, ann)).status == "Login Succeeded"
        for name_and_password in (bob, ann):
            with pytest.raises(Unauthorized):
                await login(host, replace_password(name_and_password, "wrong"))
        with pytest.raises(Unauthorized):
            await go(host, name)
        await go(host, name, bob)
        assert await come(Host(tmp_path / "other"), name) == digest
        assert [found.name for found in await search(host, f"{address}/priv", auth=bob)] == [f"{address}/private"]


async def test_a_blob_is_mounted_only_from_where_the_client_may_pull(tmp_path: Path) -> None:
    token = TokenAuth(key=b"k" * 32)
    async with server(tmp_path / "r", token=token) as (registry, address), aiohttp.ClientSession() as session:

        def allowed(**repositories: str) -> dict[str, str]:
            access = [{"type": "repository", "name": name, "actions": actions.split(",")}
                      for name, actions in repositories.items()]  # fmt: skip
            claims = {"iss": token.issuer, "aud": token.service, "exp": time.time() + 60, "access": access}
            return {"Authorization": f"Bearer {registry.access.key.sign(claims)}"}

        digest = registry.storage.store.add(b"private")
        registry.storage.link_blob("theirs", digest)
        base = f"http://{address}/v2/mine/blobs/uploads/?mount={digest}"
        for rights, source, status in (
            ({"mine": "pull,push"}, "&from=theirs", 202),
            ({"mine": "pull,push"}, "", 202),
            ({"mine": "pull,push", "theirs": "pull"}, "&from=theirs", 201),
        ):
            assert await _status(session.post(f"{base}{source}", headers=allowed(**rights))) == status


def replace_password(auth: AuthConfig, password: str) -> AuthConfig:
    return AuthConfig(username=auth.username, password=password, serveraddress=auth.serveraddress)


async def test_tls_with_a_private_authority(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:registry.test,IP:127.0.0.1", "-keyout", key, "-out",
         certificate], check=True, capture_output=True,
    )  # fmt: skip
    settings = {"tls_certificate": str(certificate), "tls_key": str(key)}
    async with server(tmp_path / "r", **settings) as (_, address):
        port = address.rpartition(":")[2]
        host = Host(tmp_path / "host", replace(FAST, certs_dirs=(f"{tmp_path}/certs.d",)))
        digest = await make(host, f"{address}/x:1")
        await go(host, f"{address}/x:1")  # loopback is insecure: TLS without verification
        secure = replace(host.registries.config, insecure=())
        host.registries.config = secure
        from sampan.registry.config import Endpoint
        from sampan.registry.failures import TlsFailure
        from sampan.registry.transport import Transport

        endpoint = Endpoint(f"https://127.0.0.1:{port}", f"127.0.0.1:{port}")
        async with Transport(secure, endpoint) as transport:
            with pytest.raises(TlsFailure, match="certificate"):
                await transport.ping()
        (tmp_path / f"certs.d/127.0.0.1:{port}").mkdir(parents=True)
        shutil.copy(certificate, tmp_path / f"certs.d/127.0.0.1:{port}/ca.crt")
        async with Transport(secure, endpoint) as transport:
            await transport.ping()
        assert await come(Host(tmp_path / "other"), f"{address}/x:1") == digest


async def test_cache_mode_serves_what_it_has_when_the_registry_behind_is_gone(tmp_path: Path) -> None:
    host = Host(tmp_path / "host")
    async with server(tmp_path / "behind") as (_, behind):
        digest = await make(host, f"{behind}/lib/x:1")
        await go(host, f"{behind}/lib/x:1")
        async with server(tmp_path / "cache", upstream=Upstream(f"http://{behind}")) as (_, cache):
            assert await come(Host(tmp_path / "one"), f"{cache}/lib/x:1") == digest
    async with server(tmp_path / "cache", upstream=Upstream(f"http://{behind}")) as (_, cache):
        assert await come(Host(tmp_path / "two"), f"{cache}/lib/x:1") == digest
        mirrored = Host(
            tmp_path / "three",
            replace(FAST, mirrors=("http://127.0.0.1:1", f"http://{cache}"), hub="http://127.0.0.1:1"),
        )
        assert await come(mirrored, "lib/x:1") == digest
        with pytest.raises(NotFound):
            await come(Host(tmp_path / "four"), f"{cache}/lib/x:2")


@pytest.mark.parametrize("token", [None, TokenAuth()])
async def test_a_cache_logs_in_at_the_registry_behind(tmp_path: Path, token: TokenAuth | None) -> None:
    (tmp_path / "users").write_text("bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    bob = AuthConfig(username="bob", password="secret")
    async with server(tmp_path / "behind", htpasswd=f"{tmp_path}/users", token=token) as (_, behind):
        host = Host(tmp_path / "host")
        digest = await make(host, f"{behind}/lib/x:1")
        await go(host, f"{behind}/lib/x:1", bob)
        for auth, comes in ((bob, True), (replace_password(bob, "wrong"), False), (AuthConfig(), False)):
            root = tmp_path / f"cache-{auth.password}"
            async with server(root, upstream=Upstream(f"http://{behind}", auth)) as (_, cache):
                other = Host(tmp_path / f"host-{auth.password}")
                if comes:  # who pulls from the cache needs no account behind
                    assert await come(other, f"{cache}/lib/x:1") == digest
                    continue
                with pytest.raises(NotFound):
                    await come(other, f"{cache}/lib/x:1")


async def test_read_only(tmp_path: Path) -> None:
    async with (
        server(tmp_path / "r", read_only=True) as (_, address),
        aiohttp.ClientSession() as http,
        http.post(f"http://{address}/v2/a/blobs/uploads/") as answer,
    ):
        assert answer.status == 405


@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is missing")
async def test_skopeo_copies_in_both_directions(tmp_path: Path) -> None:
    async with server(tmp_path / "r") as (_, address):
        host = Host(tmp_path / "host")
        digest = await make(host, f"{address}/x:1")
        await go(host, f"{address}/x:1")
        layout = f"oci:{tmp_path}/layout:x"
        await skopeo("copy", "--src-tls-verify=false", f"docker://{address}/x:1", layout)
        await skopeo("copy", "--dest-tls-verify=false", layout, f"docker://{address}/y:1")
        assert await come(Host(tmp_path / "other"), f"{address}/y:1") == digest


async def skopeo(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "skopeo", "--insecure-policy", *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
