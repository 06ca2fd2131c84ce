"""What older API versions said differently when a container is made (the API's version history)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import UNSET

from ..engine.validate import interface_of
from ..errors import InvalidArgument
from ..model.container import CreateRequest, EndpointSettings, HostConfig, Mount, NetworkingConfig
from ..network.options import ENDPOINT_SYSCTLS
from .versions import Version

_OLD_MAC_ADDRESS: Final = (
    "The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead."
)


def adapt_create(request: CreateRequest, version: Version) -> list[str]:
    """Leave out of the request what its version did not have yet, and move what has another place now; the warnings."""
    host = request.host_config or HostConfig()
    request.host_config = host
    for since, adapt in _SINCE:
        if version < since:
            adapt(request, host)
    warnings = _carry_mac_address(request, host, version)
    return warnings + (_carry_sysctls(request, host, version) if version < (1, 48) else [])


def _no_cgroup_namespace(request: CreateRequest, host: HostConfig) -> None:
    host.cgroupns_mode = ""


def _no_non_recursive(request: CreateRequest, host: HostConfig) -> None:
    _each_bind(host, non_recursive=False)


def _no_console_size(request: CreateRequest, host: HostConfig) -> None:
    host.console_size = [0, 0]
    _each_bind(host, create_mountpoint=False)


def _no_annotations(request: CreateRequest, host: HostConfig) -> None:
    host.annotations = UNSET


def _no_start_interval(request: CreateRequest, host: HostConfig) -> None:
    if isinstance(request.healthcheck, msgspec.Struct):
        request.healthcheck = msgspec.structs.replace(request.healthcheck, start_interval=0)
    _each_bind(host, read_only_non_recursive=False, read_only_force_recursive=False)
    endpoints = request.networking_config.endpoints_config if request.networking_config else None
    if endpoints and len(endpoints) > 1:
        names = ", ".join(sorted(endpoints))
        raise InvalidArgument(f"Container cannot be created with multiple network endpoints: {names}")


def _no_gateway_priority(request: CreateRequest, host: HostConfig) -> None:
    for settings in (request.networking_config.endpoints_config or {}).values() if request.networking_config else ():
        if settings is not None:
            settings.gw_priority = 0
    if any(mount.type == "image" for mount in _mounts(host)):
        raise InvalidArgument("Mount type image is not supported before API v1.48")


_SINCE: Final[list[tuple[Version, Callable[[CreateRequest, HostConfig], None]]]] = [
    ((1, 40), _no_non_recursive),
    ((1, 41), _no_cgroup_namespace),
    ((1, 42), _no_console_size),
    ((1, 43), _no_annotations),
    ((1, 44), _no_start_interval),
    ((1, 48), _no_gateway_priority),
]
"""The version that brought something, and what takes it out of an older request."""


def _mounts(host: HostConfig) -> list[Mount]:
    return host.mounts if isinstance(host.mounts, list) else []


def _each_bind(host: HostConfig, **changes: bool) -> None:
    replace = msgspec.structs.replace
    if isinstance(host.mounts, list):
        host.mounts = [
            replace(mount, bind_options=replace(mount.bind_options, **changes)) if mount.bind_options else mount
            for mount in host.mounts
        ]


def _main_network(host: HostConfig) -> str | None:
    """The name of the network that the container's own settings are for; None where it has no endpoint of its own."""
    mode = host.network_mode or "default"
    if mode == "host" or mode.startswith("container:"):
        return None
    return "bridge" if mode == "default" else mode


def _endpoints(request: CreateRequest) -> dict[str, EndpointSettings | None]:
    """The endpoints that were asked for, to be changed."""
    if request.networking_config is None:
        request.networking_config = NetworkingConfig()
    if request.networking_config.endpoints_config is None:
        request.networking_config.endpoints_config = {}
    return request.networking_config.endpoints_config


def _carry_mac_address(request: CreateRequest, host: HostConfig, version: Version) -> list[str]:
    """Before 1.44 the address was the container's; since then it is an endpoint's, and the old field a fallback."""
    address = request.mac_address if isinstance(request.mac_address, str) else ""
    name = _main_network(host)
    warnings = [_OLD_MAC_ADDRESS] if address and version >= (1, 44) else []
    if not address or name in (None, "none"):
        return warnings
    endpoints = _endpoints(request)
    key = host.network_mode if host.network_mode in endpoints else name
    settings = endpoints.get(key) or EndpointSettings()
    if version >= (1, 44) and settings.mac_address and settings.mac_address != address:
        raise InvalidArgument(
            "the container-wide MAC address must match the endpoint-specific MAC address for the main network, "
            "or be left empty"
        )
    settings.mac_address = address
    endpoints[key] = settings
    return warnings


def _carry_sysctls(request: CreateRequest, host: HostConfig, version: Version) -> list[str]:
    """Before 1.48 those of eth0 were the container's; now they are an endpoint's, and `validate` refuses them."""
    name = _main_network(host)
    found = {key: value for key, value in (host.sysctls or {}).items() if interface_of(key)}
    if name is None or not found:
        return []
    settings = _sysctls_endpoint(_endpoints(request), next(iter(found)), host, name, version)
    for key in found:
        if interface_of(key) != "eth0":
            raise InvalidArgument(f"unable to determine network endpoint for sysctl {key}, use driver option "
                                  f"'{ENDPOINT_SYSCTLS}' to set per-interface sysctls")  # fmt: skip
    carried = ",".join(f"{key.replace('.eth0.', '.IFNAME.', 1)}={value}" for key, value in found.items())
    given = dict(settings.driver_opts or {})
    # The last one of a name holds: an endpoint's own settings are more than the container's.
    settings.driver_opts = {**given, ENDPOINT_SYSCTLS: ",".join(filter(None, (carried, given.get(ENDPOINT_SYSCTLS))))}
    host.sysctls = {key: value for key, value in (host.sysctls or {}).items() if key not in found} or UNSET
    return [f'Migrated sysctl "{",".join(found)}" to DriverOpts{{"{ENDPOINT_SYSCTLS}":"{carried}"}}.']


def _sysctls_endpoint(
    endpoints: dict[str, EndpointSettings | None], sysctl: str, host: HostConfig, name: str, version: Version
) -> EndpointSettings:
    """The endpoint of the container's main network."""
    if not endpoints:
        key = name
    elif version < (1, 44) and len(endpoints) == 1:
        key = next(iter(endpoints))
    else:
        key = host.network_mode if host.network_mode in endpoints else name
        if key not in endpoints:
            raise InvalidArgument(
                f"unable to find a network for sysctl {sysctl}: HostConfig.NetworkMode must match the identity of a "
                "network in NetworkSettings.Networks"
            )
    settings = endpoints.get(key) or EndpointSettings()
    endpoints[key] = settings
    return settings
