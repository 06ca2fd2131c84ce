"""S27: an internal network leaks neither packets nor names, IPv6 is off unasked, rules come back after a reload."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest

from sampan.linux import rtnetlink
from sampan.model.container import EndpointSettings
from sampan.network import dnsmessage
from sampan.network.files import RESOLVER
from sampan.network.networks import Networks
from sampan.network.spec import NetworkSpec

from ..support.netlab import REFUSAL, Capture, Lab, Namespace, address, call, exchange, request, server


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


def sent_by(frames: list[bytes], *addresses: str) -> list[bytes]:
    """The IPv4 and IPv6 packets among the frames that come from these addresses."""
    sources = {ip_address(text).packed for text in addresses}
    return [frame for frame in frames if frame[26:30] in sources or frame[22:38] in sources]


async def test_s27_networks_are_isolated_until_connected(lab: Lab) -> None:
    """By what is on the wire, both ways, over IPv4 and IPv6; a connection that stands when they part stops at once."""
    async with lab.networks() as networks:
        for name in ("red", "blue"):
            await networks.create(NetworkSpec(name=name, enable_ipv6=True))
        red, blue = lab.namespace(), lab.namespace()
        first = await networks.attach(request(red, "red-1", "red"))
        second = await networks.attach(request(blue, "blue-1", "blue"))
        mine, theirs = first.endpoints["red"], second.endpoints["blue"]
        wires = {"red": Capture(red), "blue": Capture(blue)}
        async with server(red, 80, socket.AF_INET6), server(blue, 80, socket.AF_INET6):
            for caller, target in ((red, theirs), (blue, mine)):
                for host in (target.ip_address, target.global_ipv6_address):
                    assert await call(caller, host, 80, REFUSAL) == "TimeoutError"
            for name, other in (("red", theirs), ("blue", mine)):
                assert not sent_by(wires[name].frames(), other.ip_address, other.global_ipv6_address), "nothing crossed"
            given = await networks.connect(first.container_id, "blue", EndpointSettings())
            assert (await call(red, theirs.ip_address, 80)).endswith(given.ip_address)
            assert await call(red, theirs.global_ipv6_address, 80) == given.global_ipv6_address
            assert (await call(blue, given.ip_address, 80)).endswith(theirs.ip_address)
            assert sent_by(wires["blue"].frames(), given.ip_address) and sent_by(
                wires["red"].frames(), theirs.ip_address
            )
            await _parting_ends_connections(networks, first.container_id, red, theirs, wires["blue"])
        for wire in wires.values():
            wire.close()


async def _parting_ends_connections(
    networks: Networks, container_id: str, red: Namespace, theirs: EndpointSettings, wire: Capture
) -> None:
    loop = asyncio.get_running_loop()
    with red.socket() as four, red.socket(socket.AF_INET6) as six:
        for held, host in ((four, theirs.ip_address), (six, theirs.global_ipv6_address)):
            await loop.sock_connect(held, (host, 80))
            await loop.sock_recv(held, 100)
            await loop.sock_sendall(held, b"before")
            assert await loop.sock_recv(held, 100) == b"before"
        await networks.disconnect(container_id, "blue")
        wire.frames()
        for held in (four, six):
            with suppress(OSError):  # there is no way any more
                await loop.sock_sendall(held, b"after")
        await asyncio.sleep(REFUSAL)  # silence takes time
    assert not [frame for frame in wire.frames() if b"after" in frame]
    for host in (theirs.ip_address, theirs.global_ipv6_address):
        assert await call(red, host, 80, REFUSAL) == "TimeoutError"


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
