"""From a container as Docker describes it to the config.json of an OCI bundle."""

from __future__ import annotations

import os
from typing import Any

from msgspec import Struct, field

from ..model.container import ContainerConfig, HostConfig, Ulimit
from ..model.idmap import IdMap
from ..ocirun.init import INIT_KEY
from . import cdi
from .devices import Devices
from .privileges import capabilities, seccomp, security_options
from .resources import resources
from .users import User

OCI_VERSION = "1.2.0"
_SHM_SIZE = 64 << 20
APPARMOR = "/sys/kernel/security/apparmor"
"""There where the kernel confines by profiles; where it does not, they are ignored, as in Docker."""

MASKED_PATHS = (
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# Destination → (type, source, options): the mounts of every container, in Docker's order.
_DEFAULT_MOUNTS = {
    "/proc": ("proc", "proc", ("nosuid", "noexec", "nodev")),
    "/dev": ("tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    "/dev/pts": ("devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")),
    "/sys": ("sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    "/sys/fs/cgroup": ("cgroup", "cgroup", ("ro", "nosuid", "noexec", "nodev")),
    "/dev/mqueue": ("mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    "/dev/shm": ("tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777")),
}


class BundleMount(Struct, frozen=True):
    """An OCI mount."""

    destination: str
    type: str
    source: str
    options: tuple[str, ...] | list[str] = ()
    ids: IdMap | None = None
    """Owners of the source are shown through this map (an id-mapped bind)."""

    def as_oci(self) -> dict[str, Any]:
        """Its place in config.json."""
        made: dict[str, Any] = {
            "destination": self.destination,
            "type": self.type,
            "source": self.source,
            "options": list(self.options),
        }
        if self.ids is not None:
            made["uidMappings"], made["gidMappings"] = self.ids.as_oci()
        return made


class Inputs(Struct, frozen=True):
    """All that a bundle is made of.

    `args`, `env`: image and container merged; `rootfs`: the merged tree on the host; `mounts`: the engine's (volumes,
    binds, tmpfs, /etc/hosts …), which take the place of default ones at the same destination; `namespaces`: OCI type →
    path, None for a new one, a missing one is the host's; `cgroup`: path below the hierarchies; `seccomp`: the daemon's
    profile ("" for the built-in one, "unconfined" for none); `ulimits`: container's and daemon's merged; `init`: a
    small process 1 of ours reaps and passes signals on; `pids_limit`: the daemon's default, 0 for none; `devices`: more
    OCI devices; `id_mappings`: (uids, gids) of a user namespace.
    """

    container_id: str
    config: ContainerConfig
    host_config: HostConfig
    args: list[str]
    env: list[str]
    rootfs: str
    user: User
    mounts: list[BundleMount] = field(default_factory=list)
    hostname: str = ""
    namespaces: dict[str, str | None] = field(default_factory=dict)
    cgroup: str = ""
    seccomp: dict[str, Any] | str = ""
    ulimits: list[Ulimit] = field(default_factory=list)
    no_new_privileges: bool = False
    init: bool = False
    pids_limit: int = 0
    devices: list[dict[str, Any]] = field(default_factory=list)
    id_mappings: tuple[list[dict[str, int]], list[dict[str, int]]] | None = None
    edits: list[cdi.Edits] = field(default_factory=list)
    """Of CDI devices."""


def build(inputs: Inputs) -> dict[str, Any]:
    """The OCI configuration. Raises sampan.errors with Docker's text for what cannot be."""
    host = inputs.host_config
    bounding = capabilities(host)
    spec: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "process": _process(inputs, bounding),
        "root": {"path": inputs.rootfs, "readonly": host.readonly_rootfs},
        "mounts": _mounts(inputs),
        "linux": _linux(inputs, bounding),
    }
    if inputs.hostname and inputs.namespaces.get("uts", "") is None:
        spec["hostname"] = inputs.hostname
    if isinstance(host.annotations, dict) and host.annotations:
        spec["annotations"] = dict(host.annotations)
    cdi.inject(spec, inputs.edits)
    return spec


def _process(inputs: Inputs, bounding: list[str]) -> dict[str, Any]:
    host, options = inputs.host_config, security_options(inputs.host_config.security_opt)
    process = {
        "terminal": inputs.config.tty,
        "user": _user(inputs.user),
        "args": inputs.args,
        "env": inputs.env,
        "cwd": inputs.config.working_dir or "/",
        "capabilities": _sets(bounding),
        "noNewPrivileges": options.no_new_privileges or inputs.no_new_privileges,
        "oomScoreAdj": host.oom_score_adj,
        "rlimits": _rlimits(inputs.ulimits),
    }
    if inputs.init:
        process[INIT_KEY] = True
    if inputs.config.tty and any(host.console_size):
        process["consoleSize"] = {"height": host.console_size[0], "width": host.console_size[1]}
    if options.apparmor != "unconfined" and os.path.isdir(APPARMOR):
        process["apparmorProfile"] = options.apparmor
    return process


def _user(user: User) -> dict[str, Any]:
    return {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)}


def _sets(bounding: list[str]) -> dict[str, list[str]]:
    # Rule S08: inheritable and ambient stay empty.
    return {"bounding": bounding, "effective": bounding, "permitted": bounding}


def _rlimits(ulimits: list[Ulimit]) -> list[dict[str, Any]]:
    return [
        {"type": f"RLIMIT_{ulimit.name.upper()}", "soft": ulimit.soft, "hard": ulimit.hard}
        for ulimit in sorted(ulimits, key=lambda each: each.name)
    ]


def _mounts(inputs: Inputs) -> list[dict[str, Any]]:
    given = sorted(inputs.mounts, key=lambda mount: len(mount.destination.strip("/").split("/")))
    taken = {mount.destination.rstrip("/") for mount in given}
    found = []
    for destination, (kind, source, options) in _DEFAULT_MOUNTS.items():
        if destination in taken or ("/dev" in taken and destination.startswith("/dev/")):
            continue
        if destination == "/dev/shm":
            if inputs.namespaces.get("ipc", "") is not None or inputs.host_config.ipc_mode == "none":
                continue  # a shared one is the engine's mount; --ipc none has none
            options = (*options, f"size={inputs.host_config.shm_size or _SHM_SIZE}")
        found.append(BundleMount(destination, kind, source, _system_options(destination, options, inputs.host_config)))
    return [mount.as_oci() for mount in (*found, *given)]


def _system_options(destination: str, options: tuple[str, ...], host: HostConfig) -> tuple[str, ...]:
    writable = host.privileged or (
        destination == "/sys/fs/cgroup" and security_options(host.security_opt).writable_cgroups
    )
    if writable and destination.startswith("/sys"):
        return tuple(option for option in options if option != "ro")
    return options


def _linux(inputs: Inputs, bounding: list[str]) -> dict[str, Any]:
    host, devices = inputs.host_config, Devices(inputs.host_config)
    limits = resources(host, inputs.pids_limit)
    limits["devices"] = devices.rules
    linux: dict[str, Any] = {
        "namespaces": [
            {"type": kind, "path": path} if path else {"type": kind} for kind, path in inputs.namespaces.items()
        ],
        "resources": limits,
        "devices": devices.nodes + inputs.devices,
        "sysctl": _sysctls(inputs),
        "maskedPaths": _paths(host, host.masked_paths, (*MASKED_PATHS, *_thermal())),
        "readonlyPaths": _paths(host, host.readonly_paths, READONLY_PATHS),
    }
    if inputs.cgroup:
        linux["cgroupsPath"] = inputs.cgroup
    filter_ = seccomp(host, inputs.seccomp, bounding)
    if filter_:
        linux["seccomp"] = filter_
    propagation = _propagation(inputs.mounts)
    if propagation:
        linux["rootfsPropagation"] = propagation
    if inputs.id_mappings:
        linux["uidMappings"], linux["gidMappings"] = inputs.id_mappings
    return linux


def _thermal() -> list[str]:
    # Their counters tell one container what another does (Docker masks them for the same reason).
    base = "/sys/devices/system/cpu"
    paths = (f"{base}/cpu{number}/thermal_throttle" for number in range(os.cpu_count() or 0))
    return [path for path in paths if os.path.isdir(path)]


def _paths(host: HostConfig, given: list[str] | None, default: tuple[str, ...]) -> list[str]:
    if host.privileged:
        return []
    return list(default) if given is None else given


def _sysctls(inputs: Inputs) -> dict[str, str]:
    host, values = inputs.host_config, {}
    if inputs.namespaces.get("network", "") is None:
        # Any user may bind low ports and ping in a network of the container's own.
        values["net.ipv4.ip_unprivileged_port_start"] = "0"
        if "user" not in inputs.namespaces:
            values["net.ipv4.ping_group_range"] = "0 2147483647"
    if inputs.config.domainname and inputs.namespaces.get("uts", "") is None:
        values["kernel.domainname"] = inputs.config.domainname
    if isinstance(host.sysctls, dict):
        values.update(host.sysctls)
    return values


def _propagation(mounts: list[BundleMount]) -> str:
    """A shared or slave mount inside needs a root that lets events through."""
    words = {option for mount in mounts for option in mount.options}
    if words & {"shared", "rshared"}:
        return "shared"
    return "rslave" if words & {"slave", "rslave"} else ""


class ExecInputs(Struct, frozen=True):
    """What an exec's OCI process is made of; `host_config` is the container's."""

    host_config: HostConfig
    args: list[str]
    env: list[str]
    user: User
    cwd: str = "/"
    tty: bool = False
    privileged: bool = False
    no_new_privileges: bool = False
    console_size: tuple[int, int] = (0, 0)


def exec_process(inputs: ExecInputs) -> dict[str, Any]:
    """The OCI process of `docker exec`; privileged ones get all capabilities."""
    host, options = inputs.host_config, security_options(inputs.host_config.security_opt)
    process: dict[str, Any] = {
        "terminal": inputs.tty,
        "user": _user(inputs.user),
        "args": inputs.args,
        "env": inputs.env,
        "cwd": inputs.cwd or "/",
        "capabilities": _sets(capabilities(HostConfig(privileged=True) if inputs.privileged else host)),
        "noNewPrivileges": options.no_new_privileges or inputs.no_new_privileges,
        "oomScoreAdj": host.oom_score_adj,
        "rlimits": _rlimits(host.ulimits or []),
    }
    if inputs.tty and any(inputs.console_size):
        process["consoleSize"] = {"height": inputs.console_size[0], "width": inputs.console_size[1]}
    if options.apparmor != "unconfined" and os.path.isdir(APPARMOR):
        process["apparmorProfile"] = options.apparmor
    return process


__all__ = ["BundleMount", "ExecInputs", "Inputs", "build", "exec_process", "resources"]
