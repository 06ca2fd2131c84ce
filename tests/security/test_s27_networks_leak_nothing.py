"""S27: an internal network leaks neither packets nor names, IPv6 is off unasked, rules come back after a reload."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.linux import rtnetlink
from sampan.model.container import EndpointSettings
from sampan.network import dnsmessage
from sampan.network.files import RESOLVER
from sampan.network.spec import NetworkSpec

from ..support.netlab import REFUSAL, Capture, Lab, address, call, exchange, request, server


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


async def test_s27_networks_are_isolated_until_connected(lab: Lab) -> None:
    async with lab.networks() as networks:
        for name in ("red", "blue"):
            await networks.create(NetworkSpec(name=name, enable_ipv6=True))
        red, blue = lab.namespace(), lab.namespace()
        first = await networks.attach(request(red, "red-1", "red"))
        second = await networks.attach(request(blue, "blue-1", "blue"))
        seen = {"red": Capture(red), "blue": Capture(blue)}
        async with server(red, 80, socket.AF_INET6), server(blue, 80, socket.AF_INET6):
            for caller, target in ((red, second), (blue, first)):
                endpoint = next(iter(target.endpoints.values()))
                assert await call(caller, endpoint.ip_address, 80, REFUSAL) == "TimeoutError"
                assert await call(caller, endpoint.global_ipv6_address, 80, REFUSAL) == "TimeoutError"
            for name, other in (("red", second), ("blue", first)):
                source = socket.inet_aton(next(iter(other.endpoints.values())).ip_address)
                assert not [frame for frame in seen[name].frames() if frame[26:30] == source], "nothing crossed"
            given = await networks.connect(first.container_id, "blue", EndpointSettings())
            target = address(second, "blue")
            assert (await call(red, target, 80)).endswith(given.ip_address)
            held = red.socket()
            loop = asyncio.get_running_loop()
            with held:
                await loop.sock_connect(held, (target, 80))
                await loop.sock_recv(held, 100)
                seen["blue"].frames()
                await networks.disconnect(first.container_id, "blue")
                # Established or not, nothing arrives any more.
                await loop.sock_sendall(held, b"after")
                await asyncio.sleep(REFUSAL)  # silence takes time
            assert not [frame for frame in seen["blue"].frames() if b"after" in frame]
            assert await call(red, target, 80, REFUSAL) == "TimeoutError"
        for capture in seen.values():
            capture.close()


async def test_s27_a_flushed_firewall_is_mended(lab: Lab) -> None:
    other = lab.neighbour()
    async with lab.networks(userland_proxy=False) as networks:
        await networks.create(NetworkSpec(name="other"))
        web, stranger = lab.namespace(), lab.namespace()
        sandbox = await networks.attach(request(web, "web", ports=("8080:80",)))
        await networks.attach(request(stranger, "stranger", "other"))
        async with server(web, 80):
            for command in (("flush", "ruleset"), ("delete", "table", "inet", "sampan"),
                            ("flush", "set", "inet", "sampan", "within"),
                            ("add", "rule", "inet", "sampan", "forward", "accept")):  # fmt: skip
                lab.nft(*command)
                async with asyncio.timeout(3):
                    while not networks._firewall.intact():
                        await asyncio.sleep(0.02)  # nothing tells a test that it was mended
                assert await call(other, "10.99.0.1", 8080) == "10.99.0.2"
                assert await call(stranger, address(sandbox), 80, REFUSAL) == "TimeoutError"
