"""Our registry with somebody else's token server: RS256, ES256, and tokens that really run out."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sampan.engine.pull import PullRequest, pull
from sampan.errors import SampanError
from sampan.oci import reference
from sampan.registry.config import AuthConfig
from sampan.registry.server.config import ServerConfig, TokenAuth
from sampan.registry.server.run import serving as registry
from sampan.registry.server.tokens import Key
from tests.support.imagehost import Host
from tests.support.registries import FaultyProxy, serving

from .test_auth import ANN, come, go, make

EXPECTED = TokenAuth(service="registry", issuer="tokens")


@dataclass
class Signer:
    """A token server; `real` is the life of its tokens in seconds, `said` what it tells."""

    algorithm: str
    real: float = 60
    said: int = 60
    asked: int = 0
    last: float = 0.0
    """When the newest token runs out."""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = field(init=False)

    def __post_init__(self) -> None:
        is_rsa = self.algorithm == "RS256"
        self.key = rsa.generate_private_key(65537, 2048) if is_rsa else ec.generate_private_key(ec.SECP256R1())

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    async def handle(self, request: web.Request) -> web.Response:
        if "secret" not in base64.b64decode(request.headers.get("Authorization", "Basic ").split()[1]).decode():
            return web.Response(status=401)
        self.asked += 1
        access = [
            {"type": kind, "name": name, "actions": actions.split(",")}
            for kind, name, actions in (scope.split(":") for scope in request.query.getall("scope", []))
        ]
        self.last = time.time() + self.real
        return web.json_response({"token": self.sign(access=access, exp=self.last), "expires_in": self.said})

    def sign(self, algorithm: str = "", **claims: object) -> str:
        body = {"iss": "tokens", "aud": "registry", "exp": time.time() + 60, "nbf": time.time() - 5, **claims}
        head = {"typ": "JWT", "alg": algorithm or self.algorithm}
        text = ".".join(encoded(json.dumps(part).encode()) for part in (head, body))
        return f"{text}.{encoded(self._signature(text.encode()))}"

    def _signature(self, data: bytes) -> bytes:
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), SHA256())
        halves = decode_dss_signature(self.key.sign(data, ec.ECDSA(SHA256())))
        return b"".join(half.to_bytes(32, "big") for half in halves)


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture(params=["RS256", "ES256"])
async def signer(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Signer, str]]:
    server = Signer(request.param)
    async with serving(server.handle) as address:
        yield server, address


def config(root: Path, signer: Signer, realm: str) -> ServerConfig:
    token = TokenAuth(f"http://{realm}/token", "registry", "tokens", signer.public)
    return ServerConfig(str(root), host="127.0.0.1", port=0, token=token)


async def test_a_push_outlives_its_token(tmp_path: Path, signer: tuple[Signer, str]) -> None:
    server, realm = signer
    server.real = 1.0  # the client is told a minute
    async with registry(config(tmp_path / "r", server, realm)) as (_, port):
        proxy = FaultyProxy(f"127.0.0.1:{port}")
        refused = 0

        async def late(request: web.Request) -> web.StreamResponse:
            nonlocal refused
            if request.method == "PUT" and "/blobs/uploads/" in request.path and not refused:
                await asyncio.sleep(max(0.0, server.last - time.time()) + 0.1)  # time is all that ends a token
            response = await proxy.handle(request)
            refused += response.status == 401 and "Authorization" in request.headers
            return response

        async with serving(late) as address:
            digest = await make(Host(tmp_path / "host"), f"{address}/x:1")
            await go(Host(tmp_path / "host"), f"{address}/x:1", ANN)
            assert (refused, server.asked) == (1, 2)
            server.real = 60
            assert await come(Host(tmp_path / "other"), f"{address}/x:1", ANN) == digest
            with pytest.raises(SampanError, match="unauthorized"):
                wrong = PullRequest(reference.parse(f"{address}/x:1"), auth=AuthConfig(username="ann", password="no"))
                await pull(Host(tmp_path / "third"), wrong, lambda _: None)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_only_what_the_key_signs_counts(algorithm: str) -> None:
    signer, other = Signer(algorithm), Signer(algorithm)
    key = Key(other.public + signer.public)  # a bundle: servers change their keys
    assert key.is_public and key.verify(signer.sign(sub="ann"), EXPECTED)["sub"] == "ann"
    forged = Key(signer.public).sign({"iss": "tokens", "aud": "registry", "exp": time.time() + 60})
    stranger = Signer("ES256" if algorithm == "RS256" else "RS256")
    for token in (
        forged,  # HS256 with the public key for a secret
        signer.sign("none"), signer.sign("HS256"), stranger.sign(), Signer(algorithm).sign(), signer.sign(aud="other"),
        signer.sign(iss="other"), signer.sign(exp=time.time() - 1), signer.sign(nbf=time.time() + 600),
        signer.sign()[:-8], "a.b.c", "",
    ):  # fmt: skip
        with pytest.raises(ValueError):
            key.verify(token, EXPECTED)
    with pytest.raises(ValueError):
        Key(b"-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----").check()
