"""`/images/json`, `/images/{name}/json`, history and removal."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from ..model.container import DockerStruct, Labels
from ..oci.manifest import Descriptor
from ..oci.platform import Platform
from .container import GraphDriver


class ManifestSize(DockerStruct, kw_only=True):
    total: int
    content: int


class UnpackedSize(DockerStruct, kw_only=True):
    unpacked: int


class ManifestImage(DockerStruct, kw_only=True):
    platform: Platform
    containers: list[str]
    size: UnpackedSize


class ManifestSummary(DockerStruct, kw_only=True):
    """One manifest of an index, for `manifests=1`."""

    id: str = field(name="ID")
    descriptor: Descriptor
    available: bool
    size: ManifestSize
    kind: str
    image_data: ManifestImage | UnsetType = UNSET
    attestation_data: dict[str, str] | UnsetType = UNSET


class ImageSummary(DockerStruct, kw_only=True):
    """One image of `GET /images/json`; -1 is «not counted»."""

    containers: int = -1
    created: int
    id: str = field(name="Id")
    labels: Labels | None
    parent_id: str = field(name="ParentId")
    repo_digests: list[str] | None
    repo_tags: list[str] | None
    shared_size: int = -1
    size: int
    virtual_size: int | UnsetType = UNSET
    manifests: list[ManifestSummary] | UnsetType = UNSET


class RootFS(DockerStruct, kw_only=True):
    type: str
    layers: list[str]


class Metadata(DockerStruct, kw_only=True):
    last_tag_time: str


class ImageInspect(DockerStruct, kw_only=True):
    """`GET /images/{name}/json`."""

    id: str = field(name="Id")
    repo_tags: list[str]
    repo_digests: list[str]
    parent: str
    comment: str
    created: str | UnsetType = UNSET
    container: str | UnsetType = UNSET
    container_config: dict[str, Any] | UnsetType = UNSET
    docker_version: str
    author: str
    architecture: str
    variant: str | UnsetType = UNSET
    os: str = field(name="Os")
    os_version: str | UnsetType = UNSET
    size: int
    virtual_size: int | UnsetType = UNSET
    graph_driver: GraphDriver
    root_fs: RootFS = field(name="RootFS")
    metadata: Metadata
    config: dict[str, Any] | None
    manifests: list[ManifestSummary] | UnsetType = UNSET


class HistoryItem(DockerStruct, kw_only=True):
    comment: str
    created: int
    created_by: str
    id: str = field(name="Id")
    size: int
    tags: list[str] | None


class DeleteItem(Struct, omit_defaults=True):
    """One record of a removal: exactly one of the two is set."""

    untagged: str = field(default="", name="Untagged")
    deleted: str = field(default="", name="Deleted")
