"""What the engine must know about its surroundings; `daemon/` fills it from daemon.json and flags."""

from __future__ import annotations

from msgspec import Struct, field

from ..model.container import Ulimit
from ..model.idmap import IdMap
from ..network.config import AddressPool as AddressPool
from ..network.config import NetworkDefaults as NetworkDefaults
from ..paths import DEFAULT_DATA_ROOT, DEFAULT_EXEC_ROOT, Paths
from ..runtime.cdi import DIRECTORIES

SAMPAN_RUNTIME = "sampan"
"""The name of the runtime that runs inside the shim; every other runtime is a program."""

CGROUPFS, SYSTEMD = CGROUP_DRIVERS = ("cgroupfs", "systemd")
DEFAULT_CGROUP_PARENT = "/sampan"
"""With the driver cgroupfs; systemd's is system.slice."""


class Runtime(Struct, frozen=True):
    """An external OCI runtime (`--add-runtime name=path`) with the arguments that precede its command."""

    path: str
    args: tuple[str, ...] = ()


class RegistryDefaults(Struct, frozen=True):
    """What the daemon's configuration says of registries."""

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    max_concurrent_downloads: int = 3
    max_concurrent_uploads: int = 5
    max_download_attempts: int = 5
    default: str = ""
    """The registry of names that have none; empty: Docker Hub."""
    search: tuple[str, ...] = ()
    """Further registries that are asked for names that have none."""


class ContainerDefaults(Struct, frozen=True):
    """What a container gets where its own configuration is silent."""

    runtime: str = SAMPAN_RUNTIME
    log_driver: str = "json-file"
    log_opts: dict[str, str] = field(default_factory=dict)
    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    shm_size: int = 64 << 20
    ipc_mode: str = "private"
    cgroupns_mode: str = ""
    """Empty: private on cgroup v2, host on v1, as Docker does."""
    cgroup_parent: str = ""
    pids_limit: int = 32768
    """Holds a fork bomb (S12) where no `--pids-limit` is given, with half of the machine's at most; 0 for none."""
    init: bool = False
    no_new_privileges: bool = False
    seccomp_profile: str = ""
    """Path of a JSON profile, `unconfined`, or empty for the built-in one."""
    selinux_enabled: bool = False
    proxies: dict[str, str] = field(default_factory=dict)
    """`http-proxy`, `https-proxy`, `no-proxy`."""


class EngineConfig(Struct, frozen=True):
    """All settings of one engine. Several engines run side by side when their roots and bridges differ."""

    data_root: str = DEFAULT_DATA_ROOT
    exec_root: str = DEFAULT_EXEC_ROOT
    name: str = ""
    """The host's name as `info` shows it; empty: the kernel's."""
    storage_driver: str = ""
    """Empty: overlay2 where the file system carries it, else vfs."""
    storage_opts: tuple[str, ...] = ()
    cgroup_driver: str = CGROUPFS
    runtimes: dict[str, Runtime] = field(default_factory=dict)
    network: NetworkDefaults = field(default_factory=NetworkDefaults)
    registry: RegistryDefaults = field(default_factory=RegistryDefaults)
    container: ContainerDefaults = field(default_factory=ContainerDefaults)
    labels: tuple[str, ...] = ()
    live_restore: bool = True
    """Accepted for Docker's sake: containers always outlive the daemon unless `shutdown` is asked to stop them."""
    shutdown_timeout: int = 15
    id_map: IdMap | None = None
    """The ids of containers (`userns-remap`); None: the host's own."""
    cdi_directories: tuple[str, ...] = DIRECTORIES
    min_api_version: tuple[int, int] = (1, 24)
    debug: bool = False
    experimental: bool = False
    features: dict[str, bool] = field(default_factory=dict)
    entitlements: frozenset[str] = frozenset({"network.host"})
    """What builds may grant their steps."""
    event_journal_rows: int = 65536
    """How many events are kept for replay."""
    parked_sandboxes: int = 1

    @property
    def paths(self) -> Paths:
        """The on-disk layout."""
        return Paths(self.data_root, self.exec_root)
