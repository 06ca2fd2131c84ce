"""A container's side of networking: what it asks for when it starts, and what it has while it runs."""

from __future__ import annotations

from msgspec import Struct, field

from ..model.container import EndpointSettings, PortMap


class SandboxRequest(Struct, frozen=True):
    """All that `Networks.attach` needs for one container.

    `networks` maps a network's name or id to the settings asked for. Given values from an earlier run (`ip_address` …)
    are ignored by `attach` and taken as they are by `restore`. `netns_fd` stays the caller's; it is not needed for the
    network `host`.
    """

    container_id: str
    name: str
    netns_fd: int
    networks: dict[str, EndpointSettings]
    hostname: str = ""
    domainname: str = ""
    port_bindings: PortMap = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    """`80/tcp` …, from the image and `--expose`."""
    publish_all: bool = False
    links: tuple[tuple[str, str], ...] = ()
    """(container name or id, alias) of `--link` on the default bridge."""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    """`name:address` or `name=address`; the address may be `host-gateway`."""
    published: PortMap | None = None
    """`restore` only: `Sandbox.ports` as it was."""


class Sandbox(Struct):
    """A running container on its networks. `endpoints` are by network name, with the values that were given."""

    container_id: str
    name: str
    endpoints: dict[str, EndpointSettings]
    ports: PortMap
    """As `NetworkSettings.Ports`: exposed ports map to None, published ones to their host bindings."""


class Files(Struct, frozen=True):
    """Contents of the files that are mounted over a container's own."""

    hosts: str
    resolv_conf: str
    hostname: str
