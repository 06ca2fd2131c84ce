"""What a HostConfig gets where it is silent, so that `inspect` shows what holds."""

from __future__ import annotations

import os

from ..errors import InvalidArgument
from ..model.container import ContainerConfig, HostConfig, LogConfig, RestartPolicy
from ..runtime.bundle import MASKED_PATHS, READONLY_PATHS
from .config import SAMPAN_RUNTIME, EngineConfig

_DEFAULT_RUNTIMES = ("runc", "io.containerd.runc.v2")
"""The names by which Docker's clients know the default runtime; ours is the same to them."""


def apply(host: HostConfig, config: EngineConfig, cgroup_version: int) -> None:
    """Fill in the daemon's defaults; InvalidArgument for a runtime that is not known."""
    defaults = config.container
    if host.network_mode in ("", "default"):
        host.network_mode = "bridge"
    host.restart_policy = RestartPolicy(
        name=host.restart_policy.name or "no", maximum_retry_count=host.restart_policy.maximum_retry_count
    )
    host.shm_size = host.shm_size or defaults.shm_size
    host.ipc_mode = host.ipc_mode or defaults.ipc_mode
    host.cgroupns_mode = host.cgroupns_mode or _cgroupns(host, defaults.cgroupns_mode, cgroup_version)
    host.runtime = _runtime(host.runtime or defaults.runtime, config)
    host.log_config = _log_config(host.log_config, config)
    _apply_memory(host)
    _apply_paths(host)
    _apply_labels(host)


def _cgroupns(host: HostConfig, default: str, cgroup_version: int) -> str:
    if cgroup_version == 2 and host.privileged:
        return default or "host"
    return default or ("private" if cgroup_version == 2 else "host")


def _runtime(name: str, config: EngineConfig) -> str:
    if name in _DEFAULT_RUNTIMES and name not in config.runtimes:
        return SAMPAN_RUNTIME
    if name != SAMPAN_RUNTIME and name not in config.runtimes:
        raise InvalidArgument(f"unknown or invalid runtime name: {name}")
    return name


def _log_config(asked: LogConfig, config: EngineConfig) -> LogConfig:
    defaults = config.container
    if not asked.type or asked.type == defaults.log_driver:
        return LogConfig(type=defaults.log_driver, config=dict(defaults.log_opts) | (asked.config or {}))
    return LogConfig(type=asked.type, config=asked.config or {})


def _apply_memory(host: HostConfig) -> None:
    if host.memory > 0 and host.memory_swap == 0:
        host.memory_swap = host.memory * 2
    if host.memory > 0 and host.memory_reservation < 0:
        host.memory_reservation = 0
    if host.oom_kill_disable is None:
        host.oom_kill_disable = False
    if host.memory_swappiness == -1:
        host.memory_swappiness = None
    if host.pids_limit is not None and host.pids_limit <= 0:
        host.pids_limit = None if host.pids_limit == 0 else -1


def _apply_paths(host: HostConfig) -> None:
    if host.masked_paths is None:
        host.masked_paths = None if host.privileged else list(MASKED_PATHS)
    if host.readonly_paths is None:
        host.readonly_paths = None if host.privileged else list(READONLY_PATHS)


def _apply_labels(host: HostConfig) -> None:
    """Who shares processes or IPC with the host is not confined by a label."""
    labelled = any(option.startswith("label") for option in host.security_opt or ())
    if not labelled and (host.privileged or "host" in (host.ipc_mode, host.pid_mode)):
        host.security_opt = [*(host.security_opt or ()), "label=disable"]


def apply_hostname(config: ContainerConfig, host: HostConfig, container_id: str) -> None:
    """The short id, or the machine's own name where its network or UTS namespace is used."""
    if "host" in (host.network_mode, host.uts_mode):
        config.hostname = config.hostname or os.uname().nodename
    elif not host.network_mode.startswith("container:"):
        config.hostname = config.hostname or container_id[:12]
