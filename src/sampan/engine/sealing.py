"""Encryption of small values at rest, from the standard library alone.

Encrypt-then-MAC: the key stream is keyed BLAKE2b (RFC 7693, a PRF) over a fresh 32-byte nonce and a counter, the tag is
keyed BLAKE2b over what it protects, nonce and ciphertext; the two keys are derived from one by personalization. The key
is a file of its own beside the database, so a copy of the database alone gives nothing away.
"""

from __future__ import annotations

import hmac
import os
import secrets
from hashlib import blake2b

from ..errors import DataLoss

KEY_BYTES, NONCE_BYTES, TAG_BYTES, BLOCK_BYTES = 32, 32, 32, 64


class Sealer:
    """Seals and opens values with the key in a file, which is made at first use."""

    def __init__(self, path: str) -> None:
        key = _key(path)
        self._cipher = blake2b(key=key, person=b"sampan-cipher", digest_size=KEY_BYTES).digest()
        self._mac = blake2b(key=key, person=b"sampan-mac", digest_size=KEY_BYTES).digest()

    def seal(self, data: bytes, about: bytes) -> bytes:
        """Nonce, ciphertext and tag; `about` is bound to it (a name: nobody can swap two sealed values)."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        hidden = self._xor(data, nonce)
        return nonce + hidden + self._tag(about, nonce, hidden)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """The value; DataLoss where it was changed, or sealed with another key."""
        nonce, hidden, tag = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:-TAG_BYTES], sealed[-TAG_BYTES:]
        if len(sealed) < NONCE_BYTES + TAG_BYTES or not hmac.compare_digest(tag, self._tag(about, nonce, hidden)):
            raise DataLoss(f"cannot open sealed value of {about.decode(errors='replace')}")
        return self._xor(hidden, nonce)

    def _xor(self, data: bytes, nonce: bytes) -> bytes:
        stream = b"".join(
            blake2b(nonce + counter.to_bytes(8, "big"), key=self._cipher, digest_size=BLOCK_BYTES).digest()
            for counter in range(-(-len(data) // BLOCK_BYTES))
        )[: len(data)]
        return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")

    def _tag(self, about: bytes, nonce: bytes, hidden: bytes) -> bytes:
        message = len(about).to_bytes(8, "big") + about + nonce + hidden
        return blake2b(message, key=self._mac, digest_size=TAG_BYTES).digest()


def _key(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            key = file.read()
    except FileNotFoundError:
        key = secrets.token_bytes(KEY_BYTES)
        fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(fd)
        os.rename(f"{path}.new", path)
    if len(key) != KEY_BYTES:
        raise DataLoss(f"{path} is no key")
    return key
