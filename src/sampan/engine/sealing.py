"""Encryption of small values at rest: ChaCha20-Poly1305 (RFC 8439) by the library `cryptography`.

The key is a file of its own beside the database, so a copy of the database alone gives nothing away. The library takes
30 ms to import, so only who uses secrets imports it.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from ..errors import DataLoss

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

KEY_BYTES, NONCE_BYTES = 32, 12


class Sealer:
    """Seals and opens values with the key in a file, which is made at first use."""

    def __init__(self, path: str) -> None:
        self._cipher = _cipher(_key(path))

    def seal(self, data: bytes, about: bytes) -> bytes:
        """Nonce, ciphertext and tag; `about` is bound to it (a name: nobody can swap two sealed values)."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, about)

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """The value; DataLoss where it was changed, or sealed with another key."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], about)
        except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
            raise DataLoss(f"cannot open sealed value of {about.decode(errors='replace')}") from None


def _cipher(key: bytes) -> ChaCha20Poly1305:
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    return ChaCha20Poly1305(key)


def _key(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            key = file.read()
    except FileNotFoundError:
        key = secrets.token_bytes(KEY_BYTES)
        _keep(path, key)
    if len(key) != KEY_BYTES:
        raise DataLoss(f"{path} is no key")
    return key


def _keep(path: str, key: bytes) -> None:
    """Durably, before anything is sealed with it: a value without its key is lost."""
    fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(fd)
    os.rename(f"{path}.new", path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
