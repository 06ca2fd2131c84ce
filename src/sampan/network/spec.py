"""Networks as they are asked for, stored and shown, in the field names of the Engine API."""

from __future__ import annotations

from msgspec import field

from ..model.container import DockerValue


class IPAMPool(DockerValue, frozen=True, omit_defaults=True):
    """One subnet; empty fields are chosen. Addresses are text, as given."""

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    auxiliary_addresses: dict[str, str] | None = None


class IPAM(DockerValue, frozen=True):
    """Address management of a network."""

    driver: str = "default"
    options: dict[str, str] | None = None
    config: list[IPAMPool] | None = None


class ConfigReference(DockerValue, frozen=True):
    """The config-only network that a network takes its settings from."""

    network: str = ""


class NetworkSpec(DockerValue, frozen=True):
    """The body of `POST /networks/create`; None and empty fields take Docker's defaults."""

    name: str = ""
    driver: str = ""
    scope: str = ""
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: ConfigReference | None = None
    enable_ipv4: bool | None = None
    enable_ipv6: bool | None = None
    ipam: IPAM | None = field(default=None, name="IPAM")
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class Network(DockerValue, frozen=True):
    """A network that exists. `ipam.config` holds the subnets and gateways that were chosen."""

    name: str
    id: str = field(name="Id")
    created: str
    driver: str = "bridge"
    scope: str = "local"
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    ipam: IPAM = field(default=IPAM(), name="IPAM")
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_from: ConfigReference = ConfigReference()
    config_only: bool = False
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    user_subnets: bool = field(default=False, name="-user-subnets")
    """Ours: subnets were asked for, so that containers may ask for addresses; not shown."""
    secret: str = field(default="", name="-secret")
    """Ours: what the keys of an encrypted overlay network come from; not shown."""


class NetworkContainer(DockerValue, frozen=True):
    """One entry of a network's `Containers`."""

    name: str
    endpoint_id: str = field(name="EndpointID")
    mac_address: str = ""
    ipv4_address: str = field(default="", name="IPv4Address")
    ipv6_address: str = field(default="", name="IPv6Address")
