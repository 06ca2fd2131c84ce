"""The daemon's configuration: flags and `daemon.json` merged, checked, and given to those who use it."""

from __future__ import annotations

import json
import os
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..api import body, versions
from ..engine.config import (
    SAMPAN_RUNTIME,
    AddressPool,
    ContainerDefaults,
    EngineConfig,
    NetworkDefaults,
    RegistryDefaults,
    Runtime,
)
from ..errors import InvalidArgument
from ..model.quantity import parse_size
from ..paths import CONFIG_FILES, DEFAULT_DATA_ROOT, DEFAULT_EXEC_ROOT, DEFAULT_PIDFILE, DEFAULT_SOCKET
from ..runtime.cdi import DIRECTORIES
from .checks import cgroup_driver, check, parse_api_version
from .flags import CommandLine
from .settings import Entitlements, Settings

MAX_FILE: Final = 1 << 20

_KEYS: Final = {field.encode_name for field in msgspec.structs.fields(Settings)}

_MERGED: Final = frozenset(("runtimes",))
"""Keys that may stand in both places, as in Docker."""


class Tls(Struct, frozen=True):
    """Certificates of the TCP listeners; `verify`: clients must show one signed by `ca`."""

    cert: str
    key: str
    ca: str
    verify: bool


class DaemonConfig(Struct, frozen=True):
    """What the daemon itself needs beside the engine's configuration."""

    line: CommandLine
    """What the command line said: a reload merges the file with it anew."""
    settings: Settings
    file: str
    """The configuration file in use, or empty."""
    hosts: tuple[str, ...]
    pidfile: str
    group: str
    """Group of the unix sockets; empty: `docker` where there is such a group."""
    tls: Tls | None
    engine: EngineConfig


def load(line: CommandLine) -> DaemonConfig:
    """Merge and check; InvalidArgument names the key that is unknown, contradicted, of a wrong type or value."""
    path = _file(line)
    try:
        settings = _merge(line.values, _read(path) if path else {})
    except InvalidArgument as error:
        if not path:
            raise
        raise InvalidArgument(f"unable to configure the Docker daemon with file {path}: {error}") from None
    return DaemonConfig(
        line=line,
        settings=settings,
        file=path,
        hosts=tuple(settings.hosts) or (f"unix://{DEFAULT_SOCKET}",),
        pidfile=settings.pidfile or DEFAULT_PIDFILE,
        group=settings.group,
        tls=_tls(settings),
        engine=_engine(settings),
    )


def _file(line: CommandLine) -> str:
    if line.config_file is not None:
        return line.config_file
    return next((path for path in CONFIG_FILES if os.path.exists(path)), "")


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE)
    except OSError as error:
        raise InvalidArgument(f"open {path}: {(error.strerror or '').lower()}") from None
    if not data.strip():
        return {}
    document = body.parse(data.removeprefix(b"\xef\xbb\xbf"))
    if not isinstance(document, dict):
        kind = "array" if isinstance(document, list) else "value"
        raise InvalidArgument(
            f"invalid JSON: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )
    return document


def _merge(flags: dict[str, Any], file: dict[str, Any]) -> Settings:
    unknown = sorted(_unknown(file))
    if unknown:
        raise InvalidArgument(f"the following directives don't match any configuration option: {', '.join(unknown)}")
    conflicts = [_conflict(key, flags[key], _lookup(file, key)) for key in sorted(flags) if _in_both(key, file)]
    if conflicts:
        raise InvalidArgument(
            "the following directives are specified both as a flag and in the configuration file: "
            + ", ".join(conflicts)
        )
    merged = dict(file)
    for key, value in flags.items():
        outer, dot, inner = key.partition(".")
        added = {inner: value} if dot else value
        held = merged.get(outer, {})
        if not (dot or key in _MERGED):
            merged[key] = value
        elif isinstance(held, dict):  # else the conversion says what is wrong with it
            merged[outer] = {**held, **added}
    settings = body.convert(merged, Settings, name="Config")
    try:
        check(settings)
    except InvalidArgument as error:
        if not file:
            raise
        raise InvalidArgument(
            f"merged configuration validation from file and command line flags failed: {error}"
        ) from None
    return settings


def _unknown(document: dict[str, Any]) -> list[str]:
    """Names that are no key; of an unknown object, the names within, as Docker lists them."""
    names: list[str] = []
    for key, value in document.items():
        if key not in _KEYS:
            names += list(value) or [key] if isinstance(value, dict) else [key]
    return names


def _in_both(key: str, file: dict[str, Any]) -> bool:
    return key not in _MERGED and _lookup(file, key) is not None


def _lookup(file: dict[str, Any], key: str) -> Any:
    outer, dot, inner = key.partition(".")
    value = file.get(outer)
    if not dot:
        return value
    return value.get(inner) if isinstance(value, dict) else None


def _conflict(key: str, flag: Any, file: Any) -> str:
    return f"{key.rpartition('.')[2]}: (from flag: {_go(flag)}, from file: {_go(file)})"


def _go(value: Any) -> str:
    """A value as Go's `%v` prints it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{' '.join(map(_go, value))}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_go(held)}' for key, held in sorted(value.items()))}]"
    return str(value)


def _tls(settings: Settings) -> Tls | None:
    if not (settings.tls or settings.tlsverify):
        return None
    return Tls(settings.tlscert, settings.tlskey, settings.tlscacert, bool(settings.tlsverify))


def _engine(settings: Settings) -> EngineConfig:
    return EngineConfig(
        data_root=settings.data_root or DEFAULT_DATA_ROOT,
        exec_root=settings.exec_root or DEFAULT_EXEC_ROOT,
        storage_driver=settings.storage_driver,
        storage_opts=tuple(settings.storage_opts),
        cgroup_driver=cgroup_driver(settings),
        runtimes={name: Runtime(held.path, tuple(held.runtime_args)) for name, held in settings.runtimes.items()},
        network=_network(settings),
        registry=RegistryDefaults(
            mirrors=tuple(settings.registry_mirrors),
            insecure=tuple(settings.insecure_registries),
            default=settings.default_registry,
            search=tuple(settings.search_registries),
            max_concurrent_downloads=settings.max_concurrent_downloads,
            max_concurrent_uploads=settings.max_concurrent_uploads,
            max_download_attempts=settings.max_download_attempts,
        ),
        container=_container(settings),
        labels=tuple(settings.labels),
        shutdown_timeout=settings.shutdown_timeout,
        cdi_directories=_cdi_directories(settings),
        min_api_version=parse_api_version(settings.min_api_version or versions.text(versions.MINIMUM)),
        debug=settings.debug,
        experimental=settings.experimental,
        features=settings.features,
        entitlements=_entitlements(settings.builder.entitlements),
    )


def _entitlements(allowed: Entitlements) -> frozenset[str]:
    """Docker's defaults: the host's network may be granted to a build's steps, privileges may not."""
    names = {"network.host": allowed.network_host is not False, "security.insecure": allowed.security_insecure is True}
    return frozenset(name for name, granted in names.items() if granted)


def _cdi_directories(settings: Settings) -> tuple[str, ...]:
    """Docker's defaults where none is named; the feature can be turned off."""
    if not settings.features.get("cdi", True):
        return ()
    return tuple(path for path in settings.cdi_spec_dirs if path) if settings.cdi_spec_dirs else DIRECTORIES


def _network(settings: Settings) -> NetworkDefaults:
    gateways = settings.host_gateway_ips or [settings.host_gateway_ip]
    unset = NetworkDefaults()
    return NetworkDefaults(
        bridge=settings.bridge or unset.bridge,
        bip=settings.bip,
        bip6=settings.bip6,
        fixed_cidr=settings.fixed_cidr,
        fixed_cidr_v6=settings.fixed_cidr_v6,
        default_gateway=settings.default_gateway,
        default_gateway_v6=settings.default_gateway_v6,
        address_pools=tuple(AddressPool(pool.base, pool.size) for pool in settings.default_address_pools),
        mtu=settings.mtu,
        icc=settings.icc,
        ipv6=settings.ipv6,
        iptables=settings.iptables,
        ip6tables=settings.ip6tables,
        ip_forward=settings.ip_forward,
        ip_masq=settings.ip_masq,
        publish_ip=settings.ip or unset.publish_ip,
        userland_proxy=settings.userland_proxy,
        allow_direct_routing=settings.allow_direct_routing,
        host_gateway_ips=tuple(address for address in gateways if address),
        default_network_opts=settings.default_network_opts,
    )


def _container(settings: Settings) -> ContainerDefaults:
    size = settings.default_shm_size
    return ContainerDefaults(
        runtime=settings.default_runtime or SAMPAN_RUNTIME,
        log_driver=settings.log_driver,
        log_opts=settings.log_opts,
        dns=tuple(settings.dns),
        dns_options=tuple(settings.dns_opts),
        dns_search=tuple(settings.dns_search),
        ulimits=tuple(settings.default_ulimits.values()),
        shm_size=parse_size(size) if isinstance(size, str) else size,
        ipc_mode=settings.default_ipc_mode,
        cgroupns_mode=settings.default_cgroupns_mode,
        cgroup_parent=settings.cgroup_parent,
        init=settings.init,
        no_new_privileges=settings.no_new_privileges,
        seccomp_profile="" if settings.seccomp_profile == "builtin" else settings.seccomp_profile,
        selinux_enabled=settings.selinux_enabled,
        proxies=_proxies(settings),
    )


def _proxies(settings: Settings) -> dict[str, str]:
    """What the settings say, else the daemon's environment, upper case first, as Go's net/http reads it."""
    said: dict[str, str] = msgspec.to_builtins(settings.proxies)
    found = {}
    for name, value in said.items():
        variable = name.replace("-", "_")
        found[name] = value or os.environ.get(variable.upper()) or os.environ.get(variable, "")
    return {name: value for name, value in found.items() if value}


RELOADED: Final = (
    "debug", "default-registry", "default-runtime", "features", "insecure-registries", "labels", "live-restore",
    "max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts", "registry-mirrors", "runtimes",
    "search-registries", "shutdown-timeout",
)  # fmt: skip
"""What is taken over from daemon.json on SIGHUP, as Docker does; the rest needs a restart."""


def reloaded(settings: Settings) -> dict[str, str]:
    """The settings that a reload applies, as the event and the log show them."""
    return {key: json.dumps(msgspec.to_builtins(getattr(settings, key.replace("-", "_")))) for key in RELOADED}
