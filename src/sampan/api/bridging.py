"""What older API versions said differently when a container is made (the API's version history)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import UNSET

from ..errors import InvalidArgument
from ..model.container import CreateRequest, EndpointSettings, HostConfig, Mount, NetworkingConfig
from .versions import Version


def adapt_create(request: CreateRequest, version: Version) -> CreateRequest:
    """The request with what its version did not have yet left out; newer fields of an old client are ignored."""
    host = request.host_config or HostConfig()
    request.host_config = host
    for since, adapt in _SINCE:
        if version < since:
            adapt(request, host)
    _carry_mac_address(request, host, version)
    return request


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


def _carry_mac_address(request: CreateRequest, host: HostConfig, version: Version) -> None:
    """Before 1.44 the address was the container's; since then it is an endpoint's, and the old field a fallback."""
    address = request.mac_address if isinstance(request.mac_address, str) else ""
    mode = host.network_mode or "default"
    if not address or mode in ("host", "none") or mode.startswith("container:"):
        return
    name = "bridge" if mode == "default" else mode
    networking = request.networking_config
    endpoints = dict((networking.endpoints_config if networking else None) or {})
    settings = endpoints.get(name) or endpoints.get(mode) or EndpointSettings()
    if version >= (1, 44) and settings.mac_address and settings.mac_address != address:
        raise InvalidArgument(
            "the container-wide MAC address must match the endpoint-specific MAC address for the main network, "
            "or be left empty"
        )
    settings.mac_address = address
    key = mode if mode in endpoints else name
    if networking is None:
        networking = request.networking_config = NetworkingConfig()
    networking.endpoints_config = {**endpoints, key: settings}
