"""JSON web tokens (RFC 7515, 7518, 7519) of the registry's token protocol.

A key is either a secret that both sides have (HS256), or one or several public keys or certificates in PEM, with which
the tokens of another server are checked (RS256, ES256). Which algorithm counts is the key's to say, never the token's.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .config import TokenAuth

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_LEEWAY = 60.0
"""Seconds by which the clocks of two servers may differ."""


class Key:
    """What tokens are signed and checked with."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = data

    @property
    def is_public(self) -> bool:
        """Whether it only checks what others sign."""
        return b"-----BEGIN " in self._data

    @cached_property
    def _public(self) -> list[PublicKeyTypes]:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        if b"BEGIN CERTIFICATE" in self._data:
            return [found.public_key() for found in x509.load_pem_x509_certificates(self._data)]
        end = b"-----END PUBLIC KEY-----"
        return [load_pem_public_key(part + end) for part in self._data.split(end) if b"BEGIN PUBLIC KEY" in part]

    def check(self) -> None:
        """Raise ValueError unless tokens can be checked with it."""
        if self.is_public and not self._public:
            raise ValueError("neither a public key nor a certificate")

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A token, HS256."""
        head = _encode(json.dumps({"typ": "JWT", "alg": "HS256"}).encode())
        body = _encode(json.dumps(claims).encode())
        signature = hmac.digest(self._data, f"{head}.{body}".encode(), "sha256")
        return f"{head}.{body}.{_encode(signature)}"

    def verify(self, text: str, expected: TokenAuth) -> dict[str, Any]:
        """The claims of a token that is alive and for this service; raises ValueError."""
        head, body, signature = text.split(".")
        header = json.loads(_decode(head))
        algorithm = str(header.get("alg")) if isinstance(header, dict) else ""
        if not self._is_signed(algorithm, f"{head}.{body}".encode(), _decode(signature)):
            raise ValueError("token signature is wrong")
        claims: dict[str, Any] = json.loads(_decode(body))
        _check_claims(claims, expected)
        return claims

    def _is_signed(self, algorithm: str, data: bytes, signature: bytes) -> bool:
        if not self.is_public:
            return algorithm == "HS256" and hmac.compare_digest(hmac.digest(self._data, data, "sha256"), signature)
        return any(_is_signed_by(key, algorithm, data, signature) for key in self._public)


def _is_signed_by(key: PublicKeyTypes, algorithm: str, data: bytes, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        if algorithm == "RS256" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, PKCS1v15(), SHA256())
            return True
        if algorithm == "ES256" and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(_der(signature), data, ec.ECDSA(SHA256()))
            return isinstance(key.curve, ec.SECP256R1)
    except InvalidSignature:
        pass
    return False


def _der(signature: bytes) -> bytes:
    """The two halves of RFC 7518, 3.4, as X.509 has them."""
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


def _check_claims(claims: Mapping[str, Any], expected: TokenAuth) -> None:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != expected.issuer or expected.service not in audiences:
        raise ValueError("token is for another service")
    now = time.time()
    if float(claims.get("exp", 0)) < now or float(claims.get("nbf", 0)) > now + _LEEWAY:
        raise ValueError("token has expired")


def granted(claims: Mapping[str, Any], kind: str, name: str, actions: Sequence[str]) -> bool:
    """Whether the token's `access` covers what is wanted; `*` stands for every action."""
    for entry in claims.get("access") or []:
        if entry.get("type") == kind and entry.get("name") == name:
            given = set(entry.get("actions") or [])
            if "*" in given or set(actions) <= given:
                return True
    return False


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
