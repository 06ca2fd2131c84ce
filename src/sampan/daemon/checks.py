"""What a merged configuration must satisfy; every failure names the setting, in Docker's words."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from typing import Final

from ..api import versions
from ..engine.config import CGROUP_DRIVERS, CGROUPFS, SAMPAN_RUNTIME, SYSTEMD
from ..engine.parts import check_cgroup_parent
from ..errors import InvalidArgument
from ..linux.cgroup import Hierarchy
from ..model.quantity import parse_size
from ..oci import reference
from .settings import Settings

LOG_LEVELS: Final = ("debug", "info", "warn", "error", "fatal", "trace", "panic", "warning")


def check(settings: Settings) -> None:
    """InvalidArgument for the first thing that is wrong."""
    for complaint in _complaints(settings):
        raise InvalidArgument(complaint)


def _complaints(settings: Settings) -> Iterator[str]:
    yield from _general(settings)
    yield from _numbers(settings)
    yield from _addresses(settings)
    yield from _modes(settings)
    yield from _listeners(settings)
    yield from _unserved(settings)


def _general(settings: Settings) -> Iterator[str]:
    if settings.log_level not in LOG_LEVELS:
        yield f"invalid logging level: {settings.log_level}"
    if settings.log_format not in ("text", "json"):
        yield f'invalid log format: {settings.log_format}: use "text" or "json"'
    for label in settings.labels:
        if "=" not in label:
            yield f"bad attribute format: {label}"
    for mirror in settings.registry_mirrors:
        yield from mirror_complaints(mirror)
    for registry in (settings.default_registry, *settings.search_registries):
        yield from _registry(registry)
    if settings.default_runtime not in ("", SAMPAN_RUNTIME, "runc", *settings.runtimes):
        yield f"specified default runtime '{settings.default_runtime}' does not exist"
    for name, runtime in settings.runtimes.items():
        if runtime.runtime_type:
            yield f"runtime {name}: runtimeType is not supported: give the runtime's path"
        elif not runtime.path:
            yield f"runtime {name}: either a runtimeType or a path must be configured"


def _registry(registry: str) -> Iterator[str]:
    if not registry:
        return
    try:
        domain = reference.parse(f"{registry}/name").domain
    except InvalidArgument:
        domain = ""
    if domain != registry:
        yield f'invalid registry: "{registry}": give HOST or HOST:PORT'


def mirror_complaints(mirror: str) -> Iterator[str]:
    """What is wrong with the URL of a registry's mirror, if anything."""
    scheme, separator, rest = mirror.partition("://")
    wanted = "must use either 'https://' or 'http://'"
    if not separator:
        yield f'invalid mirror: no scheme specified for "{mirror}": {wanted}'
    elif scheme not in ("http", "https") or not rest:
        yield f'invalid mirror: unsupported scheme "{scheme}" in "{mirror}": {wanted}'


def _numbers(settings: Settings) -> Iterator[str]:
    for name in ("max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts"):
        value = getattr(settings, name.replace("-", "_"))
        if value < 0 or (value == 0 and name == "max-download-attempts"):
            yield f"invalid {name.replace('-', ' ')}: {value}"
    if settings.mtu < 0:
        yield f"invalid default MTU: {settings.mtu}"
    if isinstance(settings.default_shm_size, str):
        parse_size(settings.default_shm_size)


def _addresses(settings: Settings) -> Iterator[str]:
    for address in (*settings.dns, *settings.host_gateway_ips):
        if not _is(ipaddress.ip_address, address):
            yield f"invalid IP address: {address}"
    for name in ("ip", "default-gateway", "default-gateway-v6"):
        value = getattr(settings, name.replace("-", "_"))
        if value and not _is(ipaddress.ip_address, value):
            yield f'{name}: failed to parse IP: "{value}"'
    for name in ("bip", "bip6", "fixed-cidr", "fixed-cidr-v6"):
        value = getattr(settings, name.replace("-", "_"))
        if value and ("/" not in value or not _is(ipaddress.ip_interface, value)):
            yield f"{name}: invalid CIDR address: {value}"
    for pool in settings.default_address_pools:
        if not _is(ipaddress.ip_network, pool.base):
            yield f'invalid base prefix "{pool.base}"'
    if settings.bridge and settings.bip and settings.bridge == "none":
        yield "you specified -b & --bip, mutually exclusive options; use --bip with the default bridge"


def _is(parse: object, text: str) -> bool:
    assert callable(parse)
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _modes(settings: Settings) -> Iterator[str]:
    if settings.default_cgroupns_mode not in ("", "host", "private"):
        yield f'invalid default cgroup namespace ({settings.default_cgroupns_mode}): use "host" or "private"'
    if settings.default_ipc_mode not in ("shareable", "private"):
        yield f'default IPC mode setting ({settings.default_ipc_mode}) is invalid; use "shareable" or "private"'
    for option in settings.exec_opts:
        name, _, value = option.partition("=")
        if name != "native.cgroupdriver":
            yield f"invalid exec-opt ({option}): unknown option: '{name}'"
        elif value not in CGROUP_DRIVERS:
            yield f"invalid exec-opt ({option}): unknown cgroup driver: '{value}'"
    if settings.cgroup_parent:
        check_cgroup_parent(cgroup_driver(settings), settings.cgroup_parent)


def cgroup_driver(settings: Settings) -> str:
    """Who makes control groups: what is configured, else systemd where it runs on cgroup v2, as Docker chooses."""
    for option in settings.exec_opts:
        name, _, value = option.partition("=")
        if name == "native.cgroupdriver" and value:
            return value
    systemd = Hierarchy.detect().version == 2 and os.path.isdir("/run/systemd/system")  # sd_booted(3)
    return SYSTEMD if systemd else CGROUPFS


def _unserved(settings: Settings) -> Iterator[str]:
    """What would be unsafe to accept without doing it."""
    if settings.authorization_plugins:
        names = ", ".join(settings.authorization_plugins)
        yield f"authorization-plugins are not supported ({names}): nothing would ask them before a request is served"
    if settings.rootless:
        yield "rootless mode is not supported: sampand needs to be root"
    if settings.min_api_version:
        try:
            parse_api_version(settings.min_api_version)
        except InvalidArgument as error:
            yield f"invalid min-api-version: {error}"


def parse_api_version(text: str) -> versions.Version:
    """A version that can be asked for as the oldest one served; InvalidArgument with Docker's words."""
    if text.lower().startswith("v"):
        raise InvalidArgument('API version must be provided without "v" prefix')
    major, _, minor = text.partition(".")
    if not (major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit()):
        raise InvalidArgument(f"API version is not MAJOR.MINOR: {text}")
    found = int(major), int(minor)
    if found < versions.MINIMUM:
        raise InvalidArgument(f"minimum supported API version is {versions.text(versions.MINIMUM)}: {text}")
    if found > versions.CURRENT:
        raise InvalidArgument(f"maximum supported API version is {versions.text(versions.CURRENT)}: {text}")
    return found


IGNORED: Final = {
    "bridge-accept-fwmark": "no rule looks at packet marks",
    "containerd": "there is no containerd",
    "containerd-namespace": "there is no containerd",
    "containerd-plugin-namespace": "there is no containerd",
    "cpu-rt-period": "set it on the control group that --cgroup-parent names",
    "cpu-rt-runtime": "set it on the control group that --cgroup-parent names",
    "cri-containerd": "there is no containerd",
    "firewall-backend": "rules are written through nftables",
    "init-path": "the init is our own",
    "network-control-plane-mtu": "there is no swarm",
    "node-generic-resources": "there is no swarm",
    "swarm-default-advertise-addr": "there is no swarm",
    "userland-proxy-path": "published ports need no process",
}
"""Keys of Docker's that have no effect here, and why; whoever sets one is told."""


def ignored(settings: Settings) -> list[str]:
    """A warning for each setting that is accepted without effect."""
    defaults = Settings()
    found = []
    for key, reason in IGNORED.items():
        name = key.replace("-", "_")
        if getattr(settings, name) != getattr(defaults, name):
            found.append(f"{key} has no effect: {reason}")
    if settings.builder.gc:
        found.append("builder.gc has no effect: the build cache is kept by use, see sampan builder prune")
    return found


def _listeners(settings: Settings) -> Iterator[str]:
    for host in settings.hosts:
        scheme, separator, address = host.partition("://")
        if not separator or scheme not in ("unix", "tcp", "fd"):
            yield f"invalid bind address ({host}): unsupported proto '{scheme}'"
        if scheme == "tcp":
            yield from _tcp(settings, host)
        if scheme == "unix" and address and not address.startswith(("/", "@")):
            yield f"invalid bind address ({host}): the socket's path must be absolute"
        if scheme == "unix" and address.startswith("@"):
            yield f"invalid bind address ({host}): an abstract socket is reachable from every host-network container"


def _tcp(settings: Settings, host: str) -> Iterator[str]:
    """A TCP listener without client verification is root for whoever reaches it (S24): it must be asked for by name."""
    open_by_name = settings.tls is False or settings.tlsverify is False
    if not settings.tlsverify and not open_by_name:
        yield (
            f"refusing to listen on {host} without verifying clients: give --tlsverify with --tlscacert, --tlscert and "
            "--tlskey, or say --tlsverify=false (or --tls=false) to let anyone who reaches it be root on this host"
        )
