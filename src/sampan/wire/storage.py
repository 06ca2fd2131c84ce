"""`/volumes` and `/networks`."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType, field

from ..model.container import DockerStruct, EndpointSettings, Labels


class UsageData(DockerStruct, kw_only=True):
    ref_count: int
    size: int


class Volume(DockerStruct, kw_only=True):
    created_at: str
    driver: str
    labels: Labels | None
    mountpoint: str
    name: str
    options: dict[str, str] | None
    scope: str
    status: dict[str, Any] | UnsetType = UNSET
    usage_data: UsageData | UnsetType = UNSET


class VolumeCreate(DockerStruct, kw_only=True):
    """The body of `POST /volumes/create`."""

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] | None = None
    labels: Labels | None = None
    cluster_volume_spec: dict[str, Any] | None = None


class Connect(DockerStruct, kw_only=True):
    """The body of `POST /networks/{id}/connect`."""

    container: str = ""
    endpoint_config: EndpointSettings | None = None


class Disconnect(DockerStruct, kw_only=True):
    """The body of `POST /networks/{id}/disconnect`."""

    container: str = ""
    force: bool = False


class NetworkContainer(DockerStruct, kw_only=True):
    """One container on a network; addresses with their prefix length."""

    name: str
    endpoint_id: str = field(name="EndpointID")
    mac_address: str
    ipv4_address: str = field(name="IPv4Address")
    ipv6_address: str = field(name="IPv6Address")


class Network(DockerStruct, kw_only=True):
    """`GET /networks/{id}`; in the list `Containers` is empty."""

    name: str
    id: str = field(name="Id")
    created: str
    scope: str
    driver: str
    enable_ipv4: bool = field(name="EnableIPv4")
    enable_ipv6: bool = field(name="EnableIPv6")
    ipam: dict[str, Any] = field(name="IPAM")
    internal: bool
    attachable: bool
    ingress: bool
    config_from: dict[str, str]
    config_only: bool
    containers: dict[str, NetworkContainer]
    options: dict[str, str]
    labels: Labels
