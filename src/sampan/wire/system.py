"""`/version`, `/info`, `/system/df`, `/auth` and the messages that any route may answer."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from ..model.container import DockerStruct
from .container import ContainerSummary


class Component(DockerStruct, kw_only=True):
    """A part of the server; `Details` are texts."""

    name: str
    version: str
    details: dict[str, str]


class Platform(DockerStruct, kw_only=True):
    name: str = ""


class Version(DockerStruct, kw_only=True):
    platform: Platform
    components: list[Component]
    version: str
    api_version: str
    min_api_version: str = field(name="MinAPIVersion")
    git_commit: str
    go_version: str
    os: str = field(name="Os")
    arch: str
    kernel_version: str
    experimental: bool | UnsetType = UNSET
    build_time: str


class Plugins(DockerStruct, kw_only=True):
    volume: list[str]
    network: list[str]
    authorization: list[str] | None
    log: list[str]


class IndexInfo(DockerStruct, kw_only=True):
    mirrors: list[str]
    name: str
    official: bool
    secure: bool


class RegistryConfig(DockerStruct, kw_only=True):
    allow_nondistributable_artifacts_cidrs: list[str] | UnsetType | None = field(
        default=UNSET, name="AllowNondistributableArtifactsCIDRs"
    )
    allow_nondistributable_artifacts_hostnames: list[str] | UnsetType | None = UNSET
    index_configs: dict[str, IndexInfo]
    insecure_registry_cidrs: list[str] = field(name="InsecureRegistryCIDRs")
    mirrors: list[str]


class Commit(DockerStruct, kw_only=True):
    id: str = field(default="", name="ID")
    expected: str | UnsetType = UNSET


class SwarmInfo(DockerStruct, kw_only=True):
    node_id: str = field(default="", name="NodeID")
    node_addr: str = ""
    local_node_state: str = "inactive"
    control_available: bool = False
    error: str = ""
    remote_managers: list[str] | None = None


class AddressPool(DockerStruct, kw_only=True):
    base: str
    size: int


class Info(DockerStruct, kw_only=True):
    """`GET /info`; sizes are octets."""

    id: str = field(name="ID")
    containers: int
    containers_running: int
    containers_paused: int
    containers_stopped: int
    images: int
    driver: str
    driver_status: list[list[str]]
    plugins: Plugins
    memory_limit: bool
    swap_limit: bool
    kernel_memory: bool | UnsetType = UNSET
    kernel_memory_tcp: bool | UnsetType = field(default=UNSET, name="KernelMemoryTCP")
    cpu_cfs_period: bool
    cpu_cfs_quota: bool
    cpu_shares: bool = field(name="CPUShares")
    cpu_set: bool = field(name="CPUSet")
    pids_limit: bool
    ipv4_forwarding: bool = field(name="IPv4Forwarding")
    bridge_nf_iptables: bool | UnsetType = field(default=UNSET, name="BridgeNfIptables")
    bridge_nf_ip6tables: bool | UnsetType = field(default=UNSET, name="BridgeNfIp6tables")
    debug: bool
    n_fd: int = field(name="NFd")
    oom_kill_disable: bool = field(name="OomKillDisable")
    n_goroutines: int
    system_time: str
    logging_driver: str
    cgroup_driver: str
    cgroup_version: str
    n_events_listener: int
    kernel_version: str
    operating_system: str
    os_version: str = field(name="OSVersion")
    os_type: str = field(name="OSType")
    architecture: str
    index_server_address: str
    registry_config: RegistryConfig
    ncpu: int = field(name="NCPU")
    mem_total: int
    generic_resources: list[Any] | None = None
    docker_root_dir: str
    http_proxy: str
    https_proxy: str
    no_proxy: str
    name: str
    labels: list[str]
    experimental_build: bool
    server_version: str
    runtimes: dict[str, dict[str, Any]]
    default_runtime: str
    swarm: SwarmInfo
    live_restore_enabled: bool
    isolation: str = ""
    init_binary: str
    containerd_commit: Commit
    runc_commit: Commit
    init_commit: Commit
    security_options: list[str]
    product_license: str | UnsetType = UNSET
    default_address_pools: list[AddressPool] | UnsetType = UNSET
    firewall_backend: dict[str, str] | UnsetType = UNSET
    cdi_spec_dirs: list[str] | UnsetType = field(default=UNSET, name="CDISpecDirs")
    warnings: list[str] | None


class DiskUsage(DockerStruct, kw_only=True):
    """`GET /system/df`; a kind that was not asked for is null."""

    layers_size: int
    images: list[Any] | None = None
    containers: list[ContainerSummary] | None = None
    volumes: list[Any] | None = None
    build_cache: list[Any] | None = None


class Event(Struct, kw_only=True):
    """One line of `GET /events`; status, id and from are the old form for containers and images."""

    type: str = field(name="Type")
    action: str = field(name="Action")
    actor: dict[str, Any] = field(name="Actor")
    scope: str
    time: int
    time_nano: int = field(name="timeNano")
    status: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    from_: str | UnsetType = field(default=UNSET, name="from")


class AuthConfig(Struct, rename="lower"):
    """Credentials of a registry, as `POST /auth` and the X-Registry-Auth header carry them."""

    username: str = ""
    password: str = ""
    auth: str = ""
    email: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    registrytoken: str = ""
