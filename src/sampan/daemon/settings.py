"""Every key of `daemon.json`, with its type and default; flags set the same keys."""

from __future__ import annotations

from msgspec import Struct

from ..model.container import Ulimit


class RuntimeSetting(Struct, rename="camel", frozen=True):
    """A runtime given by path (runc's command line) or by containerd's type."""

    path: str = ""
    runtime_args: list[str] = []  # msgspec copies empty defaults
    runtime_type: str = ""


class PoolSetting(Struct, frozen=True):
    base: str
    size: int


class ProxySetting(Struct, rename="kebab", frozen=True):
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""


class Entitlements(Struct, rename="kebab", frozen=True):
    """What builds may grant their steps."""

    network_host: bool | None = None
    security_insecure: bool | None = None


class BuilderSettings(Struct, rename="kebab", frozen=True):
    """`gc` is BuildKit's, and has no effect."""

    gc: dict[str, object] = {}
    entitlements: Entitlements = Entitlements()


class Settings(Struct, rename="kebab", kw_only=True):
    """The merged configuration. Docker's names and defaults, but for the paths and the runtime."""

    allow_direct_routing: bool = False
    authorization_plugins: list[str] = []
    bip: str = ""
    bip6: str = ""
    bridge: str = ""
    bridge_accept_fwmark: str = ""
    builder: BuilderSettings = BuilderSettings()
    cdi_spec_dirs: list[str] = []
    cgroup_parent: str = ""
    containerd: str = ""
    containerd_namespace: str = ""
    containerd_plugin_namespace: str = ""
    cpu_rt_period: int = 0
    cpu_rt_runtime: int = 0
    cri_containerd: bool = False
    data_root: str = ""
    debug: bool = False
    default_address_pools: list[PoolSetting] = []
    default_cgroupns_mode: str = ""
    default_gateway: str = ""
    default_gateway_v6: str = ""
    default_ipc_mode: str = "private"
    default_network_opts: dict[str, dict[str, str]] = {}
    default_registry: str = ""
    default_runtime: str = ""
    default_shm_size: int | str = 64 << 20
    default_ulimits: dict[str, Ulimit] = {}
    dns: list[str] = []
    dns_opts: list[str] = []
    dns_search: list[str] = []
    exec_opts: list[str] = []
    exec_root: str = ""
    experimental: bool = False
    features: dict[str, bool] = {}
    firewall_backend: str = ""
    fixed_cidr: str = ""
    fixed_cidr_v6: str = ""
    group: str = ""
    host_gateway_ip: str = ""
    host_gateway_ips: list[str] = []
    hosts: list[str] = []
    icc: bool = True
    init: bool = False
    init_path: str = ""
    insecure_registries: list[str] = []
    ip: str = ""
    ip_forward: bool = True
    ip_forward_no_drop: bool = False
    ip_masq: bool = True
    ip6tables: bool = True
    iptables: bool = True
    ipv6: bool = False
    labels: list[str] = []
    live_restore: bool = True
    log_driver: str = "json-file"
    log_format: str = "text"
    log_level: str = "info"
    log_opts: dict[str, str] = {}
    max_concurrent_downloads: int = 3
    max_concurrent_uploads: int = 5
    max_download_attempts: int = 5
    metrics_addr: str = ""
    min_api_version: str = ""
    mtu: int = 1500
    network_control_plane_mtu: int = 1500
    no_new_privileges: bool = False
    node_generic_resources: list[str] = []
    pidfile: str = ""
    proxies: ProxySetting = ProxySetting()
    raw_logs: bool = False
    registry_mirrors: list[str] = []
    rootless: bool = False
    runtimes: dict[str, RuntimeSetting] = {}
    search_registries: list[str] = []
    seccomp_profile: str = ""
    selinux_enabled: bool = False
    shutdown_timeout: int = 15
    storage_driver: str = ""
    storage_opts: list[str] = []
    swarm_default_advertise_addr: str = ""
    tls: bool | None = None
    tlscacert: str = ""
    tlscert: str = ""
    tlskey: str = ""
    tlsverify: bool | None = None
    userland_proxy: bool = True
    userland_proxy_path: str = ""
    userns_remap: str = ""
