"""`/containers/json` and `/containers/{id}/json`."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from ..model.container import ContainerConfig, DockerStruct, EndpointSettings, HostConfig, Labels, PortMap
from ..model.state import Health


class Port(Struct, kw_only=True):
    """One published or exposed port of `ps`."""

    ip: str | UnsetType = field(default=UNSET, name="IP")
    private_port: int = field(default=0, name="PrivatePort")
    public_port: int | UnsetType = field(default=UNSET, name="PublicPort")
    type: str = field(default="tcp", name="Type")


class MountPoint(DockerStruct, kw_only=True):
    type: str
    name: str | UnsetType = UNSET
    source: str
    destination: str
    driver: str | UnsetType = UNSET
    mode: str
    rw: bool
    propagation: str


class SummaryHostConfig(DockerStruct, kw_only=True):
    network_mode: str
    annotations: dict[str, str] | UnsetType = UNSET


class SummaryNetworks(DockerStruct, kw_only=True):
    networks: dict[str, EndpointSettings]


class ContainerSummary(DockerStruct, kw_only=True):
    """One container of `GET /containers/json`; sizes only when they were asked for."""

    id: str = field(name="Id")
    names: list[str]
    image: str
    image_id: str
    command: str
    created: int
    ports: list[Port]
    size_rw: int | UnsetType = field(name="SizeRw", default=UNSET)
    size_root_fs: int | UnsetType = UNSET
    labels: Labels
    state: str
    status: str
    host_config: SummaryHostConfig
    network_settings: SummaryNetworks
    mounts: list[MountPoint]


class State(DockerStruct, kw_only=True):
    """`State` of inspect."""

    status: str
    running: bool
    paused: bool
    restarting: bool
    oom_killed: bool
    dead: bool
    pid: int
    exit_code: int
    error: str
    started_at: str
    finished_at: str
    health: Health | UnsetType = UNSET


class GraphDriver(DockerStruct, kw_only=True):
    data: dict[str, str] | None
    name: str


class NetworkSettings(DockerStruct, kw_only=True):
    """Networks and, for the default bridge, the same fields once more at the top."""

    bridge: str = ""
    sandbox_id: str = field(default="", name="SandboxID")
    sandbox_key: str = ""
    ports: PortMap
    hairpin_mode: bool = False
    link_local_ipv6_address: str = field(default="", name="LinkLocalIPv6Address")
    link_local_ipv6_prefix_len: int = field(default=0, name="LinkLocalIPv6PrefixLen")
    secondary_ip_addresses: list[Any] | None = field(default=None, name="SecondaryIPAddresses")
    secondary_ipv6_addresses: list[Any] | None = field(default=None, name="SecondaryIPv6Addresses")
    endpoint_id: str = field(default="", name="EndpointID")
    gateway: str = ""
    global_ipv6_address: str = field(default="", name="GlobalIPv6Address")
    global_ipv6_prefix_len: int = field(default=0, name="GlobalIPv6PrefixLen")
    ip_address: str = field(default="", name="IPAddress")
    ip_prefix_len: int = field(default=0, name="IPPrefixLen")
    ipv6_gateway: str = field(default="", name="IPv6Gateway")
    mac_address: str = ""
    networks: dict[str, EndpointSettings]


class ContainerInspect(DockerStruct, kw_only=True):
    """`GET /containers/{id}/json`."""

    id: str = field(name="Id")
    created: str
    path: str
    args: list[str]
    state: State
    image: str
    resolv_conf_path: str
    hostname_path: str
    hosts_path: str
    log_path: str
    name: str
    restart_count: int
    driver: str
    platform: str
    mount_label: str
    process_label: str
    app_armor_profile: str
    exec_ids: list[str] | None = field(name="ExecIDs")
    host_config: HostConfig
    graph_driver: GraphDriver
    size_rw: int | UnsetType = field(name="SizeRw", default=UNSET)
    size_root_fs: int | UnsetType = UNSET
    mounts: list[MountPoint]
    config: ContainerConfig
    network_settings: NetworkSettings
