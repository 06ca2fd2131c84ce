"""From what is asked for to a network: checks with Docker's texts, subnets and gateways chosen."""

from __future__ import annotations

import os
from ipaddress import IPv6Network, ip_address, ip_network

import msgspec

from ..errors import Conflict, Forbidden, InvalidArgument, NotFound, Unavailable
from ..model import times
from .config import NetworkDefaults
from .ipam import DEFAULT_POOLS, OVERLAP, IPNetwork, Pool, choose_subnet, overlapping
from .options import MTU, bridge_options
from .spec import IPAM, ConfigReference, IPAMPool, Network, NetworkSpec
from .store import Store, Stored

PREDEFINED = ("bridge", "host", "none", "default")
OVERLAY_OPTIONS = {MTU: "1450"}
"""Room for VXLAN's headers over a link of 1500 bytes."""


def new_id() -> str:
    """Docker's form of an id: 64 hexadecimal digits."""
    return os.urandom(32).hex()


def describe(spec: NetworkSpec, store: Store, defaults: NetworkDefaults) -> Network:
    """The network that a spec asks for, checked; its subnets are still as asked (see `with_pools`)."""
    _check_name(spec.name, store)
    if spec.ingress:
        raise Forbidden("Ingress network can only be global scope network")
    if spec.scope == "swarm":
        raise Unavailable("cannot create a swarm scoped network when swarm is not active")
    spec = _with_reference(spec, store)
    driver = "null" if spec.config_only else spec.driver or "bridge"
    if driver in ("host", "null") and not spec.config_only:
        raise Forbidden(f'only one instance of "{driver}" network is allowed')
    network = Network(
        name=spec.name,
        id=new_id(),
        created=times.now(),
        driver=driver,
        enable_ipv4=spec.enable_ipv4 is not False,
        enable_ipv6=bool(spec.enable_ipv6),
        ipam=spec.ipam or IPAM(),
        internal=spec.internal,
        attachable=spec.attachable,
        ingress=spec.ingress,
        config_only=spec.config_only,
        config_from=spec.config_from or ConfigReference(),
        options={
            **(OVERLAY_OPTIONS if driver == "overlay" else {}),
            **defaults.default_network_opts.get(driver, {}),
            **(spec.options or {}),
        },
        labels=spec.labels or {},
        user_subnets=any(pool.subnet for pool in (spec.ipam and spec.ipam.config) or ()),
    )
    check_ipam(network)
    modes = bridge_options(network.options)
    if driver == "bridge" and not network.internal and "isolated" in (modes.gateway_mode_ipv4, modes.gateway_mode_ipv6):
        raise InvalidArgument("gateway mode 'isolated' can only be used for an internal network")
    return network


def _check_name(name: str, store: Store) -> None:
    if not name.strip():
        raise InvalidArgument("invalid name: name is empty")
    if name in PREDEFINED:
        raise Forbidden(f"operation is not permitted on predefined {name} network")
    if store.named(name) is not None:
        raise Conflict(f"network with name {name} already exists")


def _with_reference(spec: NetworkSpec, store: Store) -> NetworkSpec:
    source = spec.config_from.network if spec.config_from else ""
    if not source:
        return spec
    if spec.config_only:
        raise InvalidArgument("a configuration network cannot depend on another configuration network")
    found = store.named(source)
    if found is None:
        raise NotFound(f'configuration network "{source}" does not exist')
    if not found.network.config_only:
        raise InvalidArgument(f"network {source} is not a configuration network")
    if (spec.ipam and spec.ipam.config) or spec.options or spec.labels:
        raise InvalidArgument("user specified configurations are not supported if the network depends on a "
                              "configuration network")  # fmt: skip
    base = found.network
    return msgspec.structs.replace(
        spec,
        enable_ipv4=base.enable_ipv4,
        enable_ipv6=base.enable_ipv6,
        ipam=base.ipam,
        options=base.options,
        labels=base.labels,
    )


def check_ipam(network: Network) -> None:
    """Docker's checks of subnets, ranges, gateways and auxiliary addresses; all faults in one error."""
    faults: list[str] = []
    for pool in network.ipam.config or ():
        faults += _pool_faults(pool, network)
    if faults:
        raise InvalidArgument("invalid network config:\n" + "\n".join(faults))


def _pool_faults(pool: IPAMPool, network: Network) -> list[str]:
    if not pool.subnet:
        return []
    try:
        subnet = ip_network(pool.subnet, strict=False)
        if "/" not in pool.subnet:
            raise ValueError
    except ValueError:
        return [f"invalid subnet {pool.subnet}: invalid CIDR block notation"]
    faults = []
    if subnet.version == 6 and not network.enable_ipv6:
        return []  # Docker accepts and ignores it
    if subnet.version == 4 and not network.enable_ipv4:
        return [f"invalid subnet {pool.subnet}: IPv4 has not been enabled for this network"]
    if str(subnet) != str(ip_network(pool.subnet.split("/")[0])).split("/")[0] + f"/{subnet.prefixlen}":
        faults.append(f"invalid subnet {pool.subnet}: it should be {subnet}")
    faults += _range_faults(pool.ip_range, subnet) if pool.ip_range else []
    faults += _address_faults("gateway", pool.gateway, subnet) if pool.gateway else []
    for address in (pool.auxiliary_addresses or {}).values():
        faults += _address_faults("auxiliary address", address, subnet)
    return faults


def _range_faults(text: str, subnet: IPNetwork) -> list[str]:
    try:
        inner = ip_network(text, strict=False)
    except ValueError:
        return [f"invalid ip-range {text}: invalid CIDR block notation"]
    if inner.version != subnet.version:
        return [f"invalid ip-range {text}: parent subnet is an IPv{subnet.version} block"]
    if inner.prefixlen < subnet.prefixlen:
        return [f"invalid ip-range {text}: CIDR block is bigger than its parent subnet {subnet}"]
    if str(inner) != text:
        return [f"invalid ip-range {text}: it should be {inner}"]
    if inner.network_address not in subnet:
        return [f"invalid ip-range {text}: parent subnet {subnet} doesn't contain ip-range"]
    return []


def _address_faults(what: str, text: str, subnet: IPNetwork) -> list[str]:
    try:
        address = ip_address(text.split("/")[0])
    except ValueError:
        return [f"invalid {what} {text}: invalid address"]
    if address.version != subnet.version:
        return [f"invalid {what} {text}: parent subnet is an IPv{subnet.version} block"]
    if address not in subnet:
        return [f"invalid {what} {text}: parent subnet {subnet} doesn't contain this address"]
    return []


def with_pools(network: Network, store: Store, defaults: NetworkDefaults, in_use: list[IPNetwork]) -> Stored:
    """Choose what was left open: subnets from the default pools, a ULA prefix for IPv6, gateways.

    `in_use` are the host's own subnets, which the default pools avoid.
    """
    claimed = [pool.subnet for stored in store for pool in stored.pools]
    versions = [version for version, on in ((4, network.enable_ipv4), (6, network.enable_ipv6)) if on]
    effective: list[IPAMPool] = []
    shown = [pool for pool in network.ipam.config or () if pool.subnet]
    wanted = [pool for pool in shown if ip_network(pool.subnet).version in versions]
    for version in versions:
        mine = [pool for pool in wanted if ip_network(pool.subnet).version == version]
        if len(mine) > 1 and network.driver == "bridge":
            raise InvalidArgument("bridge driver doesn't support multiple subnets")
        for pool in mine:
            if overlapping(ip_network(pool.subnet), claimed):
                raise Forbidden(OVERLAP)
        if not mine:
            subnet = _free_subnet(version, defaults, claimed + in_use)
            mine = [_with_gateway(IPAMPool(subnet=str(subnet)), network)]
            shown += mine
        effective += [_with_gateway(pool, network) for pool in mine]
    shown.sort(key=lambda pool: ip_network(pool.subnet).version)  # clients send them in any order
    ipam = msgspec.structs.replace(network.ipam, config=shown)
    return Stored(msgspec.structs.replace(network, ipam=ipam), effective)


def _free_subnet(version: int, defaults: NetworkDefaults, taken: list[IPNetwork]) -> IPNetwork:
    pools = defaults.address_pools or DEFAULT_POOLS
    if version == 6 and not any(":" in pool.base for pool in pools):
        while True:
            # RFC 4193: fd00::/8 and forty random bits
            subnet = IPv6Network((b"\xfd" + os.urandom(5) + bytes(10), 64))
            if not overlapping(subnet, taken):
                return subnet
    return choose_subnet(pools, taken, version)


def _with_gateway(pool: IPAMPool, network: Network) -> IPAMPool:
    if pool.gateway:
        return msgspec.structs.replace(pool, gateway=pool.gateway.split("/")[0])
    isolated = bridge_options(network.options).gateway_mode(ip_network(pool.subnet).version) == "isolated"
    if (network.driver == "ipvlan" and network.internal) or isolated:
        return pool
    first = Pool(pool).take_any()
    if first is None:
        raise InvalidArgument(f"no available addresses in subnet {pool.subnet}")
    return msgspec.structs.replace(pool, gateway=str(first.ip))
