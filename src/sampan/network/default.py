"""The network `bridge`, as the daemon's settings want it."""

from __future__ import annotations

from ipaddress import ip_interface

from ..model import times
from . import options
from .config import NetworkDefaults
from .creation import new_id
from .ipam import IPNetwork
from .spec import IPAM, IPAMPool, Network


def default_bridge(defaults: NetworkDefaults, old: Network | None, adopted: str = "") -> Network:
    """The network `bridge` as the daemon's settings want it; id, time and chosen subnet stay.

    `adopted` is the address with prefix length of a bridge that somebody else made, and that we use as it is.
    """
    pools = []
    bip = defaults.bip or adopted
    if bip:
        address, _, _ = bip.partition("/")
        subnet = str(_subnet(bip))
        pools.append(IPAMPool(subnet=subnet, gateway=address, ip_range=defaults.fixed_cidr))
    elif defaults.fixed_cidr:
        pools.append(IPAMPool(subnet=defaults.fixed_cidr))
    if defaults.ipv6 and (defaults.bip6 or defaults.fixed_cidr_v6):
        text = defaults.bip6 or defaults.fixed_cidr_v6
        gateway = defaults.bip6.partition("/")[0]
        ranged = defaults.fixed_cidr_v6 if defaults.bip6 else ""
        pools.append(IPAMPool(subnet=str(_subnet(text)), gateway=gateway, ip_range=ranged))
    if old is not None:
        given = {":" in pool.subnet for pool in pools}
        for pool in old.ipam.config or ():
            six = ":" in pool.subnet
            if six not in given and (not six or defaults.ipv6) and not pool.ip_range:
                pools.append(pool)
    return Network(
        name="bridge",
        id=old.id if old else new_id(),
        created=old.created if old else times.now(),
        enable_ipv6=defaults.ipv6,
        ipam=IPAM(config=sorted(pools, key=lambda pool: ":" in pool.subnet)),
        options={
            options.DEFAULT_BRIDGE: "true",
            options.ICC: str(defaults.icc).lower(),
            options.MASQUERADE: str(defaults.ip_masq and defaults.iptables).lower(),
            options.HOST_BINDING: defaults.publish_ip,
            options.NAME: defaults.bridge,
            options.MTU: str(defaults.mtu or 1500),
        },
    )


def _subnet(text: str) -> IPNetwork:
    return ip_interface(text).network
