"""The daemon's settings that concern networks, from `daemon.json` and its flags."""

from __future__ import annotations

from msgspec import Struct, field


class AddressPool(Struct, frozen=True):
    """`default-address-pools`: subnets of `size` bits are cut from `base`."""

    base: str
    size: int


class NetworkDefaults(Struct, frozen=True):
    """The bridge network's options; empty strings mean «choose»."""

    bridge: str = "sampan0"
    """Name of the default bridge link; `none` makes no default network."""
    bip: str = ""
    bip6: str = ""
    fixed_cidr: str = ""
    fixed_cidr_v6: str = ""
    default_gateway: str = ""
    default_gateway_v6: str = ""
    address_pools: tuple[AddressPool, ...] = ()
    mtu: int = 1500
    icc: bool = True
    ipv6: bool = False
    iptables: bool = True
    ip6tables: bool = True
    ip_forward: bool = True
    ip_masq: bool = True
    publish_ip: str = "0.0.0.0"
    """`--ip`: where `-p` without an address binds."""
    userland_proxy: bool = True
    allow_direct_routing: bool = False
    host_gateway_ips: tuple[str, ...] = ()
    default_network_opts: dict[str, dict[str, str]] = field(default_factory=dict)
    """Options that new networks of a driver get unasked."""
    dns: tuple[str, ...] = ()
    """Resolvers for containers; empty: the host's."""
    dns_options: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    resolv_conf: str = "/etc/resolv.conf"
    plugin_dirs: tuple[str, ...] = ("/run/docker/plugins", "/etc/docker/plugins", "/usr/lib/docker/plugins")
