"""What a container is asked to be, in the field names of the Engine API (v1.51).

The same structs are stored in the database, sent by clients and shown by `inspect`, so there is one description of a
container. Field defaults are Docker's. Times are nanoseconds where the API has integers (health intervals).
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from .naming import docker_name
from .quantity import parse_int

Labels = dict[str, str]


class DockerStruct(Struct, rename=docker_name, kw_only=True, omit_defaults=False):
    """Base of all structs whose JSON names are Docker's; unknown fields are ignored, as Docker does."""


class DockerValue(Struct, rename=docker_name, kw_only=True, frozen=True):
    """The same for values that never change."""


class PortBinding(DockerValue, frozen=True):
    """`HostPort` is a number, a range `8000-8010`, or empty for any free port."""

    host_ip: str = field(default="", name="HostIp")
    host_port: str = ""


PortMap = dict[str, list[PortBinding] | None]
"""`"80/tcp"` to its host bindings."""


def port_number(port: str) -> int:
    """The number of `80/tcp`; 0 where it is none: images may expose anything, and dockerd shows it so."""
    try:
        return parse_int(port.partition("/")[0], 0, 65535)
    except ValueError:
        return 0


class HealthConfig(DockerValue, frozen=True, omit_defaults=True):
    """`Test` is `[]` (inherit), `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`; times in ns, 0 means default."""

    test: list[str] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class ContainerConfig(DockerStruct):
    """The portable part: what `docker run` overrides of an image's configuration."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, dict[str, Any]] | UnsetType | None = UNSET
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: list[str] | None = None
    healthcheck: HealthConfig | UnsetType | None = UNSET
    args_escaped: bool | UnsetType = UNSET
    image: str = ""
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    entrypoint: list[str] | None = None
    network_disabled: bool | UnsetType = UNSET
    mac_address: str | UnsetType = UNSET
    on_build: list[str] | None = None
    labels: Labels | None = None
    stop_signal: str | UnsetType = UNSET
    stop_timeout: int | UnsetType | None = UNSET
    shell: list[str] | UnsetType | None = UNSET


class WeightDevice(DockerValue, frozen=True):
    path: str
    weight: int


class ThrottleDevice(DockerValue, frozen=True):
    """A device's limit: bytes or operations per second."""

    path: str
    rate: int


class DeviceMapping(DockerValue, frozen=True):
    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = ""


class DeviceRequest(DockerValue, frozen=True):
    driver: str = ""
    count: int = 0
    device_ids: list[str] | None = field(default=None, name="DeviceIDs")
    capabilities: list[list[str]] | None = None
    options: dict[str, str] | None = None


class Ulimit(DockerValue, frozen=True):
    name: str
    soft: int
    hard: int


class LogConfig(DockerValue, frozen=True):
    type: str = ""
    config: dict[str, str] | None = None


class RestartPolicy(DockerValue, frozen=True):
    """`Name` is empty, `no`, `always`, `unless-stopped`, `on-failure` or, ours, `on-unhealthy`."""

    name: str = ""
    maximum_retry_count: int = 0


class BindOptions(DockerValue, frozen=True, omit_defaults=True):
    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False
    id_map: str = field(default="", name="IDMap")
    """Ours: owners of the source are shown through a map (docs/volumes.md)."""


class DriverConfig(DockerValue, frozen=True, omit_defaults=True):
    name: str = ""
    options: dict[str, str] | None = None


class VolumeOptions(DockerValue, frozen=True, omit_defaults=True):
    no_copy: bool = False
    labels: Labels | None = None
    driver_config: DriverConfig | None = None
    subpath: str = ""


class ImageOptions(DockerValue, frozen=True, omit_defaults=True):
    subpath: str = ""


class TmpfsOptions(DockerValue, frozen=True, omit_defaults=True):
    size_bytes: int = 0
    mode: int = 0
    options: list[list[str]] | None = None


class Mount(DockerValue, frozen=True, omit_defaults=True):
    """A `--mount`; `Type` is `bind`, `volume`, `tmpfs`, `image`, `cluster` or `npipe`."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    image_options: ImageOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class HostConfig(DockerStruct):
    """The part that depends on this host: resources, mounts, networking mode, privileges."""

    binds: list[str] | None = None
    container_id_file: str = field(default="", name="ContainerIDFile")
    log_config: LogConfig = LogConfig()
    network_mode: str = ""
    port_bindings: PortMap | None = None
    restart_policy: RestartPolicy = RestartPolicy()
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: list[str] | None = None
    console_size: list[int] = field(default_factory=lambda: [0, 0])
    annotations: dict[str, str] | UnsetType | None = UNSET
    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    cgroupns_mode: str = ""
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    ipc_mode: str = ""
    cgroup: str = ""
    links: list[str] | None = None
    oom_score_adj: int = field(default=0, name="OomScoreAdj")
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] | None = None
    storage_opt: dict[str, str] | UnsetType | None = UNSET
    tmpfs: dict[str, str] | UnsetType | None = UNSET
    uts_mode: str = ""
    userns_mode: str = ""
    shm_size: int = 0
    sysctls: dict[str, str] | UnsetType | None = UNSET
    runtime: str = ""
    isolation: str = ""
    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    cgroup_parent: str = ""
    blkio_weight: int = 0
    blkio_weight_device: list[WeightDevice] | None = None
    blkio_device_read_bps: list[ThrottleDevice] | None = None
    blkio_device_write_bps: list[ThrottleDevice] | None = None
    blkio_device_read_iops: list[ThrottleDevice] | None = None
    blkio_device_write_iops: list[ThrottleDevice] | None = None
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: list[DeviceMapping] | None = None
    device_cgroup_rules: list[str] | None = None
    device_requests: list[DeviceRequest] | None = None
    kernel_memory: int | UnsetType = UNSET
    kernel_memory_tcp: int | UnsetType = UNSET
    memory_reservation: int = 0
    memory_swap: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = field(default=None, name="OomKillDisable")
    pids_limit: int | None = None
    ulimits: list[Ulimit] | None = None
    cpu_count: int = 0
    cpu_percent: int = 0
    io_maximum_iops: int = 0
    io_maximum_bandwidth: int = 0
    mounts: list[Mount] | UnsetType | None = UNSET
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    init: bool | UnsetType | None = UNSET


class EndpointIPAMConfig(DockerValue, frozen=True, omit_defaults=True):
    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: list[str] | None = field(default=None, name="LinkLocalIPs")


class EndpointSettings(DockerStruct):
    """One container on one network: first what was asked for, then what it was given."""

    ipam_config: EndpointIPAMConfig | None = field(default=None, name="IPAMConfig")
    links: list[str] | None = None
    aliases: list[str] | None = None
    mac_address: str = ""
    driver_opts: dict[str, str] | None = None
    gw_priority: int = 0
    network_id: str = field(default="", name="NetworkID")
    endpoint_id: str = field(default="", name="EndpointID")
    gateway: str = ""
    ip_address: str = field(default="", name="IPAddress")
    ip_prefix_len: int = field(default=0, name="IPPrefixLen")
    ipv6_gateway: str = field(default="", name="IPv6Gateway")
    global_ipv6_address: str = field(default="", name="GlobalIPv6Address")
    global_ipv6_prefix_len: int = field(default=0, name="GlobalIPv6PrefixLen")
    dns_names: list[str] | None = field(default=None, name="DNSNames")


class NetworkingConfig(DockerStruct):
    endpoints_config: dict[str, EndpointSettings | None] | None = None


class CreateRequest(ContainerConfig):
    """The body of `POST /containers/create`: a ContainerConfig with the host's part beside it."""

    host_config: HostConfig | None = None
    networking_config: NetworkingConfig | None = None
