"""Descriptors, manifests and indexes (OCI image-spec 1.1; Docker image manifest v2, schema 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from ..errors import InvalidArgument
from . import digest as digests
from .platform import Platform

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"

MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
UNCOMPRESSED_LAYERS = frozenset({OCI_LAYER, DOCKER_LAYER})
LAYERS = UNCOMPRESSED_LAYERS | {OCI_LAYER_GZIP, OCI_LAYER_ZSTD, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD}
MAX_MANIFEST_SIZE = 4 << 20
"""Registries refuse larger ones (distribution-spec, «Pushing Manifests»)."""


class Descriptor(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What points at a blob; `size` in bytes."""

    media_type: str
    digest: str
    size: int
    urls: tuple[str, ...] = ()
    annotations: dict[str, str] | None = None
    data: str = ""
    platform: Platform | None = None
    artifact_type: str = ""

    def __post_init__(self) -> None:
        digests.parse(self.digest)
        if self.size < 0:
            raise InvalidArgument(f"size of {self.digest} is negative")


class Manifest(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One image of one platform, or an artifact."""

    schema_version: int
    config: Descriptor
    layers: list[Descriptor]
    media_type: str = ""
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class Index(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A list of manifests, usually one for each platform."""

    schema_version: int
    manifests: list[Descriptor]
    media_type: str = ""
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None


class _Shape(Struct):
    """The keys that tell the kinds of documents apart."""

    schema_version: int = msgspec.field(default=0, name="schemaVersion")
    media_type: str = msgspec.field(default="", name="mediaType")
    config: Any = None
    layers: Any = None
    manifests: Any = None
    fs_layers: Any = msgspec.field(default=None, name="fsLayers")


def parse(data: bytes, media_type: str = "") -> Manifest | Index:
    """Parse a manifest or an index.

    `media_type` is what the transport or the descriptor claimed; it must agree with the document (S16): a document
    with both `manifests` and `layers`, or whose type contradicts its content, raises InvalidArgument.
    """
    if len(data) > MAX_MANIFEST_SIZE:
        raise InvalidArgument(f"manifest is larger than {MAX_MANIFEST_SIZE} bytes")
    try:
        shape = msgspec.json.decode(data, type=_Shape)
        kind = _kind(shape, media_type.partition(";")[0].strip())
        return msgspec.json.decode(data, type=Index if kind in INDEXES else Manifest)
    except msgspec.MsgspecError as error:
        raise InvalidArgument(f"invalid manifest: {error}") from error


def _kind(shape: _Shape, claimed: str) -> str:
    if shape.schema_version == 1 or shape.fs_layers is not None or claimed in {DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED}:
        raise InvalidArgument(
            "docker image format v1 and Docker Image manifest version 2, schema 1 support has been removed"
        )
    if shape.schema_version != 2:
        raise InvalidArgument(f"unsupported manifest schema version {shape.schema_version}")
    is_index = shape.manifests is not None
    if is_index and (shape.layers is not None or shape.config is not None):
        raise InvalidArgument("manifest has both manifests and layers")
    actual = shape.media_type or (claimed if claimed in MANIFESTS | INDEXES else "")
    actual = actual or (OCI_INDEX if is_index else OCI_MANIFEST)
    if actual not in MANIFESTS | INDEXES or (actual in INDEXES) != is_index:
        raise InvalidArgument(f"media type {actual} does not match the manifest's content")
    if claimed in MANIFESTS | INDEXES and claimed != actual:
        raise InvalidArgument(f"manifest of type {actual} was sent as {claimed}")
    return actual


def attested(entry: Descriptor) -> str:
    """The digest of the manifest that an index's entry makes statements about (BuildKit's provenance and SBOMs)."""
    annotations = entry.annotations or {}
    return annotations.get("vnd.docker.reference.digest", "") if is_attestation(entry) else ""


def is_attestation(entry: Descriptor) -> bool:
    """Whether an index's entry is no image but says something about one."""
    return (entry.annotations or {}).get("vnd.docker.reference.type") == "attestation-manifest"


def media_type_of(document: Manifest | Index) -> str:
    """The document's own media type, or OCI's where it names none."""
    return document.media_type or (OCI_INDEX if isinstance(document, Index) else OCI_MANIFEST)


def encode(document: Manifest | Index) -> bytes:
    """JSON as it is stored; the digest is that of these bytes."""
    return msgspec.json.encode(document)


def describe(data: bytes, media_type: str, **more: Any) -> Descriptor:
    """The descriptor of a small blob that is at hand."""
    return Descriptor(media_type, digests.of_bytes(data), len(data), **more)


def reference_annotations(name: str, tag: str) -> Mapping[str, str]:
    """The annotations by which an OCI layout's index names a tag."""
    return {"io.containerd.image.name": f"{name}:{tag}", "org.opencontainers.image.ref.name": tag}
