"""Networks."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..engine import networks
from ..network.spec import Network, NetworkContainer, NetworkSpec
from ..wire import storage as wire
from .call import Call
from .router import Route
from .versions import Version


def document(network: Network, members: Mapping[str, NetworkContainer], version: Version) -> wire.Network:
    """A network as the API shows it."""
    return wire.Network(
        name=network.name,
        id=network.id,
        created=network.created,
        scope=network.scope,
        driver=network.driver,
        enable_ipv4=network.enable_ipv4,
        enable_ipv6=network.enable_ipv6,
        ipam=msgspec.to_builtins(network.ipam),
        internal=network.internal,
        attachable=network.attachable,
        ingress=network.ingress,
        config_from={"Network": network.config_from.network},
        config_only=network.config_only,
        containers={
            key: wire.NetworkContainer(
                name=member.name,
                endpoint_id=member.endpoint_id,
                mac_address=member.mac_address,
                ipv4_address=member.ipv4_address,
                ipv6_address=member.ipv6_address,
            )
            for key, member in members.items()
        },
        options=network.options,
        labels=network.labels,
    )


async def list_networks(call: Call) -> None:
    """Before 1.28 the list also had the containers."""
    rows = []
    for network in networks.list_networks(call.engine, call.query.filters()):
        members = networks.inspect(call.engine, network.id)[1] if call.version < (1, 28) else {}
        rows.append(document(network, members, call.version))
    await call.json(rows)


async def inspect(call: Call) -> None:
    network, members = networks.inspect(call.engine, call.path["id"])
    await call.json(document(network, members, call.version))


async def create(call: Call) -> None:
    made = await networks.create(call.engine, await call.body(NetworkSpec))
    await call.json({"Id": made.id, "Warning": ""}, 201)


async def remove(call: Call) -> None:
    await networks.remove(call.engine, call.path["id"])
    await call.empty()


async def connect(call: Call) -> None:
    request = await call.body(wire.Connect)
    if request.endpoint_config is not None and call.version < (1, 48):
        request.endpoint_config.gw_priority = 0
    await networks.connect(call.engine, call.path["id"], request.container, request.endpoint_config)
    await call.empty(200)


async def disconnect(call: Call) -> None:
    request = await call.body(wire.Disconnect)
    await networks.disconnect(call.engine, call.path["id"], request.container)
    await call.empty(200)


async def prune(call: Call) -> None:
    gone = await networks.prune(call.engine, call.query.filters())
    await call.json({"NetworksDeleted": gone or None})


async def network_map(call: Call) -> None:
    """Ours: which containers sit on which networks."""
    await call.json(networks.network_map(call.engine))


async def check(call: Call) -> None:
    """Ours: whether the container `from` reaches the container `to`, on a TCP port where one is given."""
    query = call.query
    found = await networks.check(call.engine, query.text("from"), query.text("to"), query.optional_number("port"))
    await call.json(found)


ROUTES: list[Route] = [
    ("GET", "/sampan/networks/map", network_map),
    ("GET", "/sampan/networks/check", check),
    ("GET", "/networks", list_networks),
    ("GET", "/networks/", list_networks),
    ("POST", "/networks/create", create),
    ("POST", "/networks/prune", prune),
    ("GET", "/networks/{id}", inspect),
    ("DELETE", "/networks/{id}", remove),
    ("POST", "/networks/{id}/connect", connect),
    ("POST", "/networks/{id}/disconnect", disconnect),
]
