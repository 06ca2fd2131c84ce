"""What Docker's daemon refuses in a container's configuration, in its words."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import UNSET

from ..errors import InvalidArgument
from ..model.container import ContainerConfig, HealthConfig, HostConfig, RestartPolicy
from ..network.options import ENDPOINT_SYSCTLS
from ..runtime import privileges
from . import signals

MILLISECOND = 1_000_000
_HEALTH_TIMES = (
    ("Interval", "interval"),
    ("Timeout", "timeout"),
    ("StartPeriod", "start_period"),
    ("StartInterval", "start_interval"),
)
RESTART_POLICIES = ("no", "always", "unless-stopped", "on-failure", "on-unhealthy")
_RETRYING = ("on-failure", "on-unhealthy")
_PORT = re.compile(r"\d+(-\d+)?(/(tcp|udp|sctp))?")


def check_config(config: ContainerConfig) -> None:
    """The portable part."""
    if config.working_dir and not config.working_dir.startswith("/"):
        raise InvalidArgument(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path"
        )
    for variable in config.env or ():
        if not variable or variable.startswith("="):
            raise InvalidArgument(f"invalid environment variable: {variable}")
    if config.stop_signal is not UNSET and config.stop_signal:
        signals.number(config.stop_signal)
    if isinstance(config.healthcheck, HealthConfig):
        check_health(config.healthcheck)


def check_health(health: HealthConfig) -> None:
    """Times are 0 or at least a millisecond; retries are not negative."""
    for shown, name in _HEALTH_TIMES:
        if 0 != getattr(health, name) < MILLISECOND:
            raise InvalidArgument(f"{shown} in Healthcheck cannot be less than 1ms")
    if health.retries < 0:
        raise InvalidArgument("Retries in Healthcheck cannot be negative")


def check_restart_policy(policy: RestartPolicy) -> None:
    """Known name; a retry count only where it counts."""
    if policy.name and policy.name not in RESTART_POLICIES:
        raise InvalidArgument(
            f"invalid restart policy: unknown policy '{policy.name}'; "
            "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        )
    if policy.maximum_retry_count and policy.name not in _RETRYING:
        text = "invalid restart policy: maximum retry count can only be used with 'on-failure'"
        raise InvalidArgument(f"{text} and cannot be negative" if policy.maximum_retry_count < 0 else text)
    if policy.maximum_retry_count < 0:
        raise InvalidArgument("invalid restart policy: maximum retry count cannot be negative")


def check_host(host: HostConfig, config: ContainerConfig) -> None:
    """The host's part, but for resources, mounts and networks, which have checks of their own."""
    check_restart_policy(host.restart_policy)
    if host.auto_remove and host.restart_policy.name not in ("", "no"):
        raise InvalidArgument("can't create 'AutoRemove' container with restart policy")
    if host.isolation not in ("", "default"):
        raise InvalidArgument(f"invalid isolation ({host.isolation}): linux only supports 'default'")
    if host.shm_size < 0:
        raise InvalidArgument("SHM size can not be less than 0")
    if not -1000 <= host.oom_score_adj <= 1000:
        raise InvalidArgument(f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]")
    if isinstance(host.annotations, dict) and "" in host.annotations:
        raise InvalidArgument("invalid Annotations: the empty string is not permitted as an annotation key")
    _check_modes(host, config)
    privileges.normalize(host.cap_add, "CapAdd")
    privileges.normalize(host.cap_drop, "CapDrop")
    privileges.security_options(host.security_opt)
    _check_network_conflicts(host)
    _check_sysctls(host)
    _check_ports(host)


def _container_mode(mode: str) -> bool:
    return mode.startswith("container:") and len(mode) > len("container:")


_MODES: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
    ("pid_mode", "PID mode", lambda mode: mode in ("", "host", "private") or _container_mode(mode)),
    ("uts_mode", "UTS mode", lambda mode: mode in ("", "host")),
    ("cgroupns_mode", "cgroup namespace mode", lambda mode: mode in ("", "host", "private")),
    (
        "ipc_mode",
        "IPC mode",
        lambda mode: mode in ("", "host", "private", "shareable", "none") or _container_mode(mode),
    ),
    ("userns_mode", "user namespace mode", lambda mode: mode in ("", "host")),
)


def _check_modes(host: HostConfig, config: ContainerConfig) -> None:
    for name, shown, valid in _MODES:
        if not valid(getattr(host, name)):
            raise InvalidArgument(f"invalid {shown}: {getattr(host, name)}")
    if host.network_mode == "container:":
        raise InvalidArgument("invalid network mode: invalid container format container:<name|id>")
    if host.uts_mode == "host" and config.hostname:
        raise InvalidArgument("conflicting options: hostname and the UTS mode")


_WITH_CONTAINER = (
    ("port publishing and the container type network mode", lambda h: bool(h.port_bindings) or h.publish_all_ports),
    ("dns and the network mode", lambda h: bool(h.dns)),
    ("custom host-to-IP mapping and the network mode", lambda h: bool(h.extra_hosts)),
    (
        "container type network can't be used with links. This would result in undefined behavior",
        lambda h: bool(h.links),
    ),
)


def check_exposed(config: ContainerConfig, host: HostConfig) -> None:
    """The request's own exposed ports (the image's are no error) need a network of the container's own."""
    if host.network_mode.startswith("container:") and config.exposed_ports and not host.port_bindings:
        raise InvalidArgument("conflicting options: port exposing and the container type network mode")


def _check_network_conflicts(host: HostConfig) -> None:
    if host.network_mode == "host" and host.links:
        raise InvalidArgument(
            "conflicting options: host type networking can't be used with links. "
            "This would result in undefined behavior"
        )
    if host.network_mode.startswith("container:"):
        for text, present in _WITH_CONTAINER:
            if present(host):
                raise InvalidArgument(f"conflicting options: {text}")
    for entry in host.extra_hosts or ():
        name, colon, address = entry.partition(":")
        if not (name and colon and address):
            raise InvalidArgument(f'bad format for add-host: "{entry}"')


def interface_of(sysctl: str) -> str | None:
    """The `ethN` whose setting it is, or None."""
    parts = sysctl.split(".", 4)
    return parts[3] if len(parts) == 5 and parts[0] == "net" and parts[3].startswith("eth") else None


def _check_sysctls(host: HostConfig) -> None:
    """Those of one interface belong to its endpoint: only there is it known which interface it will be."""
    if host.network_mode == "host" or host.network_mode.startswith("container:"):
        return
    for name in filter(interface_of, host.sysctls or {}):
        raise InvalidArgument(f'interface specific sysctl setting "{name}" must be supplied using driver option '
                              f"'{ENDPOINT_SYSCTLS}'")  # fmt: skip


def _check_ports(host: HostConfig) -> None:
    for port, bindings in (host.port_bindings or {}).items():
        if not _PORT.fullmatch(port):
            raise InvalidArgument(f'invalid port specification: "{port}"')
        for binding in bindings or ():
            if binding.host_port and not _PORT.fullmatch(binding.host_port):
                raise InvalidArgument(f'invalid port specification: "{binding.host_port}"')
