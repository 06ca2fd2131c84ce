"""Who reaches a published port, from everywhere, by TCP and UDP over IPv4 and IPv6, in each way of serving it."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from ipaddress import ip_address, ip_network

import pytest

from sampan.linux import rtnetlink
from sampan.network import options
from sampan.network.spec import NetworkSpec

from ...support.netlab import PATIENCE, REFUSAL, Lab, Namespace, call, echo_datagrams, exchange, request, server

TCP, UDP = 8080, 5353
V4 = ("another host", "own address", "loopback", "friend", "stranger", "itself")
V6 = tuple(f"{name}, IPv6" for name in V4)


async def reached(caller: Namespace, host: str, patience: float) -> tuple[bool, bool]:
    """Whether the TCP port answers, and the UDP port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with caller.socket(family, socket.SOCK_DGRAM) as asking:
        stream, datagram = await asyncio.gather(
            call(caller, host, TCP, patience), exchange(asking, (host, UDP), b"question", patience)
        )
    return ip_address_of(stream), datagram == b"question"


def ip_address_of(seen: str) -> bool:
    """Whether the server has told the caller's address."""
    try:
        return bool(ip_address(seen))
    except ValueError:
        return False


def add_route(namespace: Namespace, subnet: str, via: str) -> None:
    route = namespace.route()
    link = route.link("up0")
    assert link is not None
    route.request(rtnetlink.route(link.index, ip_address(via), ip_network(subnet)))
    route.close()


CASES = [
    pytest.param({}, True, True, {*V4, *V6}, id="nat"),
    # ::1 cannot be translated (Linux routes nothing from it): Docker's rules do not reach it either.
    pytest.param({}, True, False, {*V4, *V6} - {"loopback, IPv6"}, id="nat, no relay"),
    pytest.param({}, False, True, {*V4, *V6[:3]}, id="nat, IPv4 only"),
    pytest.param({}, False, False, {*V4}, id="nat, IPv4 only, no relay"),
    # In routed networks the container's own address is what others use; nothing is opened on the host's.
    pytest.param({options.GATEWAY_MODE_IPV4: "routed", options.GATEWAY_MODE_IPV6: "routed"}, True, True, set(),
                 id="routed"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "ipv6", "relay", "expected"), CASES)
async def test_who_reaches_a_published_port(
    lab: Lab, given: dict[str, str], ipv6: bool, relay: bool, expected: set[str]
) -> None:
    other = lab.neighbour()
    web, friend, stranger = lab.namespace(), lab.namespace(), lab.namespace()
    async with AsyncExitStack() as stack:
        networks = await stack.enter_async_context(lab.networks(userland_proxy=relay))
        await networks.create(NetworkSpec(name="front", enable_ipv6=ipv6, options=given))
        await networks.create(NetworkSpec(name="back", enable_ipv6=ipv6))
        sandbox = await networks.attach(request(web, "web", "front", ports=(f"{TCP}:80", f"{UDP}:53/udp")))
        await networks.attach(request(friend, "friend", "front"))
        await networks.attach(request(stranger, "stranger", "back"))
        await stack.enter_async_context(server(web, 80, socket.AF_INET6))
        for family in (socket.AF_INET, socket.AF_INET6):
            stack.callback((await echo_datagrams(web, 53, family=family)).close)
        places = {"another host": (other, "10.99.0.1"), "own address": (lab.host, "10.99.0.1"),
                  "loopback": (lab.host, "127.0.0.1"), "friend": (friend, "10.99.0.1"),
                  "stranger": (stranger, "10.99.0.1"), "itself": (web, "10.99.0.1"),
                  "another host, IPv6": (other, "fd99:0::1"), "own address, IPv6": (lab.host, "fd99:0::1"),
                  "loopback, IPv6": (lab.host, "::1"), "friend, IPv6": (friend, "fd99:0::1"),
                  "stranger, IPv6": (stranger, "fd99:0::1"), "itself, IPv6": (web, "fd99:0::1")}  # fmt: skip
        calls = [reached(*place, PATIENCE if name in expected else REFUSAL) for name, place in places.items()]
        found = dict(zip(places, await asyncio.gather(*calls), strict=True))
        assert found == {name: (name in expected,) * 2 for name in places}
        endpoint, routed = sandbox.endpoints["front"], "routed" in given.values()
        for target, via in ((endpoint.ip_address, "10.99.0.1"), (endpoint.global_ipv6_address, "fd99::1")):
            if target:
                add_route(other, target, via)
                seen = await call(other, target, 80, PATIENCE if routed else REFUSAL)
                assert ip_address_of(seen) == routed, f"{target} by routing: {seen}"


async def test_isolated_networks_are_reached_by_nobody(lab: Lab) -> None:
    """Not even by the host: it has no address there, and publishes nothing."""
    other = lab.neighbour()
    modes = {options.GATEWAY_MODE_IPV4: "isolated", options.GATEWAY_MODE_IPV6: "isolated"}
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="alone", internal=True, enable_ipv6=True, options=modes))
        web, friend = lab.namespace(), lab.namespace()
        sandbox = await networks.attach(request(web, "web", "alone", ports=(f"{TCP}:80",)))
        await networks.attach(request(friend, "friend", "alone"))
        endpoint = sandbox.endpoints["alone"]
        assert (endpoint.gateway, endpoint.ipv6_gateway) == ("", "")
        assert not sandbox.ports["80/tcp"]
        link = networks._store.get("alone").link
        route = lab.host.route()
        index = next(one.index for one in route.links() if one.name == link)
        assert not [str(held) for at, held in route.addresses() if at == index and not held.ip.is_link_local]
        route.close()
        async with server(web, 80, socket.AF_INET6):
            for target in (endpoint.ip_address, endpoint.global_ipv6_address):
                assert ip_address_of(await call(friend, target, 80))
                assert not ip_address_of(await call(lab.host, target, 80, REFUSAL))
            for host in ("10.99.0.1", "fd99::1"):
                assert await call(other, host, TCP, REFUSAL) == "ConnectionRefusedError"
