"""What the options of bridge networks do to packets."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, ip_interface, ip_network

import pytest

from sampan.errors import Forbidden, InvalidArgument
from sampan.linux import rtnetlink
from sampan.network import options
from sampan.network.spec import NetworkSpec

from ...support.netlab import Lab, address, call, request, server


async def test_sources_of_outgoing_connections(lab: Lab) -> None:
    other = lab.neighbour()
    route, there = lab.host.route(), other.route()
    here, back = route.link("up0"), there.link("up0")
    assert here is not None and back is not None
    route.request(rtnetlink.address(here.index, ip_interface("10.99.0.50/24")))
    there.request(rtnetlink.route(back.index, IPv4Address("10.99.0.1"), ip_network("172.16.0.0/12")))
    for one in (route, there):
        one.close()
    cases = {
        "plain": ({}, "10.99.0.1"),
        "named": ({options.HOST_IPV4: "10.99.0.50"}, "10.99.0.50"),
        "bare": ({options.MASQUERADE: "false"}, ""),
        "routed": ({options.GATEWAY_MODE_IPV4: "routed"}, ""),
    }
    async with lab.networks() as networks, server(other, 9000):
        for name, (given, seen) in cases.items():
            await networks.create(NetworkSpec(name=name, options=given))
            inside = lab.namespace()
            sandbox = await networks.attach(request(inside, name, name))
            assert await call(inside, "10.99.0.2", 9000) == (seen or address(sandbox, name)), name


async def test_addresses_of_bridges(lab: Lab) -> None:
    async with lab.networks() as networks:
        isolated = {options.GATEWAY_MODE_IPV4: "isolated", options.NAME: "iso0"}
        await networks.create(NetworkSpec(name="isolated", internal=True, options=isolated))
        await networks.create(NetworkSpec(name="bare", options={options.INHIBIT_IPV4: "true", options.NAME: "bare0"}))
        held = {networks._route.link(name).index for name in ("iso0", "bare0")}  # type: ignore[union-attr] # just made
        assert not [one for index, one in networks._route.addresses() if index in held and one.version == 4]
        first, second = lab.namespace(), lab.namespace()
        one = await networks.attach(request(first, "first", "isolated"))
        await networks.attach(request(second, "second", "isolated"))
        async with server(first, 80):
            assert await call(second, address(one, "isolated"), 80) != "TimeoutError"


async def test_ipv6_alone(lab: Lab) -> None:
    other = lab.neighbour()
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="six", enable_ipv4=False, enable_ipv6=True))
        inside, friend = lab.namespace(), lab.namespace()
        sandbox = await networks.attach(request(inside, "inside", "six", ports=("8080:80",)))
        await networks.attach(request(friend, "friend", "six"))
        endpoint = sandbox.endpoints["six"]
        assert (endpoint.ip_address, endpoint.gateway, endpoint.global_ipv6_prefix_len) == ("", "", 64)
        assert [binding.host_ip for binding in sandbox.ports["80/tcp"] or ()] == ["::"]
        async with server(inside, 80, socket.AF_INET6):
            assert await call(friend, endpoint.global_ipv6_address, 80) != "TimeoutError"
            assert await call(other, "fd99::1", 8080) == "fd99::2"
            assert await call(other, "10.99.0.1", 8080) == "ConnectionRefusedError"
        async with server(other, 9000, socket.AF_INET6):
            assert await call(inside, "fd99::2", 9000) == "fd99::1", "masqueraded"


async def test_an_existing_bridge_is_used_and_left(lab: Lab) -> None:
    route = lab.host.route()
    route.request(rtnetlink.bridge("mine"), rtnetlink.new_link("other", "veth"))
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="n", options={options.NAME: "mine"}))
        await networks.remove("n")
        assert route.link("mine") is not None
        with pytest.raises(Forbidden, match=r"networks have same bridge name$"):
            await networks.create(NetworkSpec(name="n", options={options.NAME: "sampan0"}))
        with pytest.raises(Forbidden, match=r"^existing interface other is not a bridge$"):
            await networks.create(NetworkSpec(name="n", options={options.NAME: "other"}))
        with pytest.raises(InvalidArgument, match="not an interface name"):
            await networks.create(NetworkSpec(name="n", options={options.NAME: "a/b"}))
        with pytest.raises(InvalidArgument, match="not an interface name"):
            await networks.create(NetworkSpec(name="n", options={options.NAME: "x" * 16}))
    route.close()
