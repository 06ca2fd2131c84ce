"""S27: an internal network leaks neither packets nor names, IPv6 is off unasked, rules come back after a reload."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.linux import rtnetlink
from sampan.network import dnsmessage
from sampan.network.files import RESOLVER
from sampan.network.spec import NetworkSpec

from ..support.netlab import REFUSAL, Capture, Lab, call, exchange, request, server


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    try:
        yield made
    finally:
        made.close()


def question(name: str) -> bytes:
    return dnsmessage.query(dnsmessage.question(name, dnsmessage.A), 1)


async def test_s27_an_internal_network_leaks_nothing(lab: Lab) -> None:
    other = lab.neighbour()
    (lab.directory / "resolv.conf").write_text("nameserver 10.99.0.2\n")
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="inner", internal=True, enable_ipv6=True))
        inside = lab.namespace()
        await networks.attach(request(inside, "inside", "inner", ports=("8080:80",)))
        route = inside.route()
        link = route.link("eth0")
        assert link is not None
        # A program with NET_ADMIN makes itself a way out.
        route.request(rtnetlink.route(link.index, rtnetlink.IPv4Address("172.18.0.1")))
        route.close()
        wire = Capture(other)
        async with server(lab.host, 9000), server(other, 9000):
            assert await call(inside, "10.99.0.2", 9000, REFUSAL) == "TimeoutError"
            assert await call(inside, "10.99.0.1", 9000, REFUSAL) == "TimeoutError", "nor other addresses of the host"
            assert await call(inside, "172.18.0.1", 9000) != "TimeoutError", "but its own bridge"
        asking = inside.socket(kind=socket.SOCK_DGRAM)
        with asking:
            answer = await exchange(asking, (RESOLVER, 53), question("secret.example.com"))
        assert dnsmessage.code(answer) == dnsmessage.SERVFAIL
        frames = wire.frames()
        assert not [frame for frame in frames if b"secret" in frame or b"\xac\x12" in frame[26:34]]
        wire.close()
        async with server(inside, 80):
            assert await call(other, "10.99.0.1", 8080, REFUSAL) == "ConnectionRefusedError", "nor is it published"


async def test_s27_ipv6_is_off_unasked(lab: Lab) -> None:
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="four"))
        inside = lab.namespace()
        await networks.attach(request(inside, "inside", "four"))
        link = networks._store.get("four").link
        assert lab.host.sysctl(f"net/ipv6/conf/{link}/disable_ipv6") == "1"
        assert inside.sysctl("net/ipv6/conf/eth0/disable_ipv6") == "1"
        assert lab.host.sysctl(f"net/ipv6/conf/{link}/accept_ra") == "0"
