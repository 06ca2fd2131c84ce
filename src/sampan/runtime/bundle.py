"""The OCI configuration of a container (runtime-spec, config.md), with Docker's defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sampan.linux import capabilities
from sampan.model.container import ContainerConfig, HostConfig, Ulimit

from .hostdevices import devices
from .limits import resources
from .users import User

__all__ = ["BundleMount", "ExecInputs", "Inputs", "build", "exec_process", "resources"]

OCI_VERSION = "1.2.0"
DEFAULT_CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
)  # fmt: skip
INIT_ANNOTATION = "dev.sampan.init"
"""Asks our runtime for a tiny init as process 1 (`--init`)."""


@dataclass(frozen=True)
class BundleMount:
    """One mount: `type` is bind, tmpfs, …; `source` a path on the host or the file system's own word for it."""

    destination: str
    type: str
    source: str
    options: tuple[str, ...] = ()

    def as_oci(self) -> dict[str, Any]:
        """The entry of `mounts`."""
        return {
            "destination": self.destination, "type": self.type, "source": self.source, "options": list(self.options)
        }  # fmt: skip


@dataclass(frozen=True)
class Inputs:
    """All that `build` needs. `namespaces`: kind → path to join or None for a new one; missing kinds are the host's.

    `seccomp` is an OCI profile, None for unconfined.
    """

    container_id: str
    config: ContainerConfig
    host_config: HostConfig
    args: Sequence[str]
    env: Sequence[str]
    rootfs: str
    user: User
    mounts: Sequence[BundleMount]
    hostname: str
    namespaces: Mapping[str, str | None]
    cgroup: str
    seccomp: dict[str, Any] | None = None
    ulimits: Sequence[Ulimit] = ()
    no_new_privileges: bool = False
    init: bool = False
    pids_limit: int = 0


@dataclass(frozen=True)
class ExecInputs:
    """All that `exec_process` needs."""

    host_config: HostConfig
    args: Sequence[str]
    env: Sequence[str]
    user: User
    cwd: str = "/"
    tty: bool = False
    privileged: bool = False
    no_new_privileges: bool = False
    ulimits: Sequence[Ulimit] = field(default=())


def build(inputs: Inputs) -> dict[str, Any]:
    """The config.json of a container."""
    host = inputs.host_config
    document: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "process": _process(inputs),
        "root": {"path": inputs.rootfs, "readonly": host.readonly_rootfs},
        "mounts": _mounts(inputs),
        "annotations": dict(host.annotations) if isinstance(host.annotations, dict) else {},
        "linux": _linux(inputs),
    }
    if inputs.init:
        document["annotations"][INIT_ANNOTATION] = "true"
    if inputs.namespaces.get("uts", "") is None:
        document["hostname"] = inputs.hostname
        if inputs.config.domainname:
            document["domainname"] = inputs.config.domainname
    return document


def _process(inputs: Inputs) -> dict[str, Any]:
    host, size = inputs.host_config, inputs.host_config.console_size or [0, 0]
    process = exec_process(
        ExecInputs(
            host_config=host,
            args=inputs.args,
            env=inputs.env,
            user=inputs.user,
            cwd=inputs.config.working_dir or "/",
            tty=inputs.config.tty,
            privileged=host.privileged,
            no_new_privileges=inputs.no_new_privileges,
            ulimits=inputs.ulimits,
        )
    )
    process["oomScoreAdj"] = host.oom_score_adj
    if any(size):
        process["consoleSize"] = {"height": size[0], "width": size[1]}
    return process


def exec_process(inputs: ExecInputs) -> dict[str, Any]:
    """The OCI `process` of a container or of an exec in it."""
    host, user = inputs.host_config, inputs.user
    options = _security(host)
    process: dict[str, Any] = {
        "terminal": inputs.tty,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": list(inputs.args),
        "env": list(inputs.env),
        "cwd": inputs.cwd,
        "capabilities": _capabilities(host, user, privileged=inputs.privileged),
        "noNewPrivileges": _flag(options.get("no-new-privileges"), default=inputs.no_new_privileges),
        "rlimits": [
            {"type": f"RLIMIT_{limit.name.upper()}", "soft": limit.soft, "hard": limit.hard} for limit in inputs.ulimits
        ],
    }
    if options.get("apparmor") and not inputs.privileged:
        process["apparmorProfile"] = options["apparmor"]
    return process


def _security(host: HostConfig) -> dict[str, str]:
    """`--security-opt` as a mapping; older clients write a colon."""
    found = {}
    for option in host.security_opt or ():
        key, separator, value = option.partition("=")
        if not separator:
            key, separator, value = option.partition(":")
        found[key] = value if separator else "true"
    return found


def _flag(text: str | None, *, default: bool) -> bool:
    return default if text is None else text.lower() in ("true", "1", "t")


def _capabilities(host: HostConfig, user: User, *, privileged: bool) -> dict[str, list[str]]:
    names = [f"CAP_{name}" for name in _capability_names(host, privileged=privileged)]
    # A user other than root starts without effective ones, as runc makes it; inheritable are always empty (S08).
    active = names if user.uid == 0 else []
    return {"bounding": names, "effective": active, "permitted": active, "inheritable": [], "ambient": []}


def _capability_names(host: HostConfig, *, privileged: bool) -> list[str]:
    if privileged:
        return list(capabilities.NAMES)
    add, drop = _words(host.cap_add), _words(host.cap_drop)
    base = capabilities.NAMES if "ALL" in add else () if "ALL" in drop else DEFAULT_CAPABILITIES
    names = dict.fromkeys((*base, *(name for name in add if name != "ALL")))
    return [name for name in names if name not in drop]


def _words(names: list[str] | None) -> list[str]:
    return [name.upper().removeprefix("CAP_") for name in names or ()]


_DEFAULT_MOUNTS = (
    BundleMount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
    BundleMount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    BundleMount(
        "/dev/pts", "devpts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
    ),
    BundleMount("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    BundleMount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", "nosuid", "noexec", "nodev")),
    BundleMount("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    BundleMount("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777")),
)


def _mounts(inputs: Inputs) -> list[dict[str, Any]]:
    host = inputs.host_config
    taken = {mount.destination for mount in inputs.mounts}
    found = [_adapted(mount, host) for mount in _DEFAULT_MOUNTS if mount.destination not in taken]
    # Parents before children, whatever order they were given in.
    given = sorted(inputs.mounts, key=lambda mount: mount.destination.rstrip("/").count("/"))
    return [mount.as_oci() for mount in (*found, *given)]


def _adapted(mount: BundleMount, host: HostConfig) -> BundleMount:
    options = mount.options
    if mount.destination == "/dev/shm":
        options = (*options, f"size={host.shm_size or 64 << 20}")
    if host.privileged and mount.destination in ("/sys", "/sys/fs/cgroup"):
        options = tuple("rw" if option == "ro" else option for option in options)
    return BundleMount(mount.destination, mount.type, mount.source, options)


def _linux(inputs: Inputs) -> dict[str, Any]:
    host = inputs.host_config
    nodes, rules = devices(host)
    limits = resources(host, inputs.pids_limit)
    limits["devices"] = rules
    found: dict[str, Any] = {
        "namespaces": [{"type": kind} | ({"path": path} if path else {}) for kind, path in inputs.namespaces.items()],
        "cgroupsPath": inputs.cgroup,
        "resources": limits,
        "devices": nodes,
        "sysctl": dict(host.sysctls) if isinstance(host.sysctls, dict) else {},
        "maskedPaths": [] if host.privileged else list(host.masked_paths or ()),
        "readonlyPaths": [] if host.privileged else list(host.readonly_paths or ()),
        "rootfsPropagation": _propagation(inputs.mounts),
    }
    if inputs.seccomp is not None and not host.privileged:
        found["seccomp"] = inputs.seccomp
    return found


def _propagation(mounts: Sequence[BundleMount]) -> str:
    options = {option for mount in mounts for option in mount.options}
    if options & {"shared", "rshared"}:
        return "shared"
    return "rslave" if options & {"slave", "rslave"} else "rprivate"
