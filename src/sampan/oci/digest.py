"""Digests: `sha256:<64 lower-case hex digits>` (OCI image-spec, descriptor, «Digests»).

A digest is a plain string; what came from outside passes `parse` before any use, above all before use as a path (S16).
"""

from __future__ import annotations

import hashlib
import re

from ..errors import InvalidArgument

ALGORITHMS = {"sha256": 64, "sha384": 96, "sha512": 128}
_GRAMMAR = re.compile(r"(sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128})")


def is_digest(text: str) -> bool:
    """Whether `text` is a digest of an algorithm that we compute."""
    return _GRAMMAR.fullmatch(text) is not None


def parse(text: str) -> str:
    """Return `text` when it is a digest; raises InvalidArgument with go-digest's wording."""
    if is_digest(text):
        return text
    algorithm, colon, encoded = text.partition(":")
    if colon and algorithm not in ALGORITHMS and re.fullmatch(r"[a-z0-9]+([+._-][a-z0-9]+)*", algorithm):
        raise InvalidArgument("unsupported digest algorithm")
    if colon and algorithm in ALGORITHMS and len(encoded) != ALGORITHMS[algorithm]:
        raise InvalidArgument("invalid checksum digest length")
    raise InvalidArgument("invalid checksum digest format")


def encoded(digest: str) -> str:
    """The hexadecimal part."""
    return digest.partition(":")[2]


def blob_path(digest: str) -> str:
    """Where an OCI layout has a blob (image-layout.md, «Blobs»)."""
    return f"blobs/{algorithm(digest)}/{encoded(digest)}"


def algorithm(digest: str) -> str:
    """The part before the colon, a name that hashlib knows."""
    return digest.partition(":")[0]


def of_bytes(data: bytes) -> str:
    """The sha256 digest of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def short(digest: str) -> str:
    """The twelve digits that Docker shows."""
    return encoded(digest)[:12]


def chain_ids(diff_ids: list[str]) -> list[str]:
    """The chain ID of every layer, lowest first (OCI image-spec, config, «Layer ChainID»)."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(of_bytes(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain
