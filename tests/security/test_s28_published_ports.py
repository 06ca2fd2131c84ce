"""S28: what is published on 127.0.0.1 stays on this host, and containers do not reach the host's loopback."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.linux import rtnetlink
from sampan.network.ipam import ip_network

from ..support.netlab import REFUSAL, Lab, Namespace, address, call, request, server


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    try:
        yield made
    finally:
        made.close()


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def datagram(source: str, target: str, port: int, body: bytes) -> bytes:
    """An IPv4 packet made by hand, as a hostile neighbour would."""
    packet = struct.pack(">HHHH", 4444, port, 8 + len(body), 0) + body
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(packet), 1, 0, 64, 17, 0,
                       socket.inet_aton(source), socket.inet_aton(target))  # fmt: skip
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + packet


def send_frame(namespace: Namespace, link: str, mac: str, packet: bytes) -> None:
    with namespace.inside():
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        raw.sendto(packet, (link, 0x0800, 0, 0, bytes.fromhex(mac.replace(":", ""))))
        raw.close()


async def test_s28_loopback_ports_stay_on_the_host(lab: Lab) -> None:
    other = lab.neighbour()
    async with lab.networks() as networks:
        web, friend = lab.namespace(), lab.namespace()
        sandbox = await networks.attach(request(web, "web", ports=("127.0.0.1:8080:80", "127.0.0.1:5353:53/udp")))
        await networks.attach(request(friend, "friend"))
        route = other.route()
        link = route.link("up0")
        assert link is not None
        # The neighbour sends 127.0.0.1 and the container's own address our way.
        route.request(rtnetlink.route(link.index, rtnetlink.IPv4Address("10.99.0.1"), ip_network("172.17.0.0/16")))
        route.close()
        async with server(web, 80):
            assert await call(lab.host, "127.0.0.1", 8080) == "172.17.0.1"
            assert await call(other, "10.99.0.1", 8080) == "ConnectionRefusedError"
            assert await call(other, address(sandbox), 80, REFUSAL) in ("TimeoutError", "OSError")
        listening = lab.host.socket(kind=socket.SOCK_DGRAM)
        inside = web.socket(kind=socket.SOCK_DGRAM)
        with listening, inside:
            listening.bind(("127.0.0.1", 7777))
            inside.bind(("0.0.0.0", 53))
            here = networks._route.link("up0")
            bridge = networks._route.link("sampan0")
            assert here is not None and bridge is not None
            send_frame(other, "up0", here.mac, datagram("10.99.0.2", "127.0.0.1", 5353, b"martian"))
            send_frame(friend, "eth0", bridge.mac, datagram("172.17.0.3", "127.0.0.1", 7777, b"to the host's loopback"))
            send_frame(friend, "eth0", bridge.mac, datagram("127.0.0.1", "172.17.0.1", 7777, b"as if from it"))
            proof = lab.host.socket(kind=socket.SOCK_DGRAM)
            with proof:
                proof.sendto(b"proof", ("127.0.0.1", 7777))
            # Frames over veth are delivered in order and at once: what would come has come before the proof.
            assert listening.recv(100) == b"proof"
            with pytest.raises(BlockingIOError):
                inside.recv(100)


async def test_s28_the_operators_chain_wins_over_published_ports(lab: Lab) -> None:
    other, friend = lab.neighbour(0), lab.neighbour(1)
    async with lab.networks() as networks:
        web = lab.namespace()
        await networks.attach(request(web, "web", ports=("8080:80",)))
        lab.nft(
            "add", "rule", "inet", "sampan", "operator", "ip", "saddr", "10.99.0.0/24", "tcp", "dport", "8080", "drop"
        )
        lab.nft(
            "add", "rule", "inet", "sampan", "operator", "ip6", "saddr", "fd99::/64", "tcp", "dport", "8080", "drop"
        )
        async with server(web, 80):
            assert await call(other, "10.99.0.1", 8080, REFUSAL) == "TimeoutError"
            assert await call(other, "fd99::1", 8080, REFUSAL) == "TimeoutError", "relayed ports obey as well"
            lab.nft("add", "rule", "inet", "sampan", "operator", "tcp", "dport", "8080", "counter")
            assert await call(friend, "10.99.1.1", 8080) == "10.99.1.2"
        networks._firewall.load()
        assert "counter packets 1 " in lab.nft("list", "chain", "inet", "sampan", "operator"), "once, for limits' sake"
        assert "10.99.0.0/24" in lab.nft("list", "chain", "inet", "sampan", "operator")
