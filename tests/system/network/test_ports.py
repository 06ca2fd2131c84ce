"""Published ports: who reaches them, from where, and how they are refused."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import threading
from pathlib import Path

import pytest

from sampan.errors import SampanError
from sampan.network.spec import NetworkSpec

from ...support.netlab import (
    PATIENCE,
    REFUSAL,
    Lab,
    Namespace,
    address,
    bindings,
    call,
    echo_datagrams,
    exchange,
    kernel_has_sctp,
    request,
    server,
)


@pytest.mark.parametrize("bridge_netfilter", ["1", "0"])
async def test_a_port_is_reached_from_everywhere(lab: Lab, bridge_netfilter: str) -> None:
    lab.bridge_netfilter(bridge_netfilter)
    other = lab.neighbour()
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="second"))
        web, friend, stranger = lab.namespace(), lab.namespace(), lab.namespace()
        given = await networks.attach(request(web, "web", ports=("8080:80",)))
        await networks.attach(request(friend, "friend"))
        await networks.attach(request(stranger, "stranger", "second"))
        async with server(web, 80):
            assert await call(other, "10.99.0.1", 8080) == "10.99.0.2", "the source address is kept"
            assert await call(other, "fd99:0::1", 8080) == "172.17.0.1", "IPv6 is relayed"
            assert await call(lab.host, "127.0.0.1", 8080) == "172.17.0.1"
            assert await call(lab.host, "10.99.0.1", 8080) != "TimeoutError"
            assert await call(lab.host, "::1", 8080) == "172.17.0.1"
            for caller, host in itertools.product((web, friend), ("172.17.0.1", "10.99.0.1")):
                # Without br_netfilter the answer must be made to come back through the host.
                seen = "172.17.0.3" if caller is friend and bridge_netfilter == "1" else "172.17.0.1"
                assert await call(caller, host, 8080) == seen
            assert await call(stranger, "172.17.0.1", 8080) == "172.18.0.2"
            assert await call(stranger, address(given), 80, REFUSAL) == "TimeoutError", "networks are isolated"
            assert await call(other, address(given), 80, REFUSAL) in ("TimeoutError", "OSError")
        await networks.detach(request(web, "web").container_id)
        assert await call(other, "10.99.0.1", 8080) == "ConnectionRefusedError"


async def test_ipv6_is_translated_where_the_container_has_it(lab: Lab) -> None:
    other = lab.neighbour()
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="six", enable_ipv6=True))
        web = lab.namespace()
        await networks.attach(request(web, "web", "six", ports=("8080:80",)))
        async with server(web, 80, socket.AF_INET6):
            assert await call(other, "fd99:0::1", 8080) == "fd99::2"
            assert (await call(lab.host, "::1", 8080)).startswith("fd")
            assert (await call(web, "fd99:0::1", 8080)).startswith("fd")


async def test_datagrams_and_moved_ports(lab: Lab) -> None:
    other = lab.neighbour()
    async with lab.networks() as networks:
        first, second = lab.namespace(), lab.namespace()
        one = await networks.attach(request(first, "first", ports=("5353:53/udp",)))
        serving = [await echo_datagrams(first, 53, b"1"), await echo_datagrams(second, 53, b"2")]
        caller = other.socket(kind=socket.SOCK_DGRAM)
        six = other.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with caller, six:
            assert await exchange(caller, ("10.99.0.1", 5353), b"a") == b"a1"
            assert await exchange(six, ("fd99:0::1", 5353), b"b") == b"b1"
            await networks.detach(one.container_id)
            await networks.attach(request(second, "second", ports=("5353:53/udp",)))
            async with asyncio.timeout(3):
                # The same client socket: a tracked exchange must not stick to the container that is gone.
                while await exchange(caller, ("10.99.0.1", 5353), b"c", 0.1) != b"c2":
                    pass
        for transport in serving:
            transport.close()


async def test_streams_of_sctp(lab: Lab) -> None:
    if not kernel_has_sctp():
        pytest.skip("this kernel has no SCTP")
    other = lab.neighbour()
    async with lab.networks() as networks:
        web, friend = lab.namespace(), lab.namespace()
        given = await networks.attach(request(web, "web", ports=("8080:80/sctp",)))
        await networks.attach(request(friend, "friend"))
        listening = web.socket(protocol=socket.IPPROTO_SCTP)
        loop = asyncio.get_running_loop()
        with listening:
            listening.bind(("0.0.0.0", 80))
            listening.listen()
            for caller, host in ((other, "10.99.0.1"), (friend, "172.17.0.1"), (lab.host, "10.99.0.1")):
                with caller.socket(protocol=socket.IPPROTO_SCTP) as calling:
                    async with asyncio.timeout(PATIENCE):
                        await loop.sock_connect(calling, (host, 8080))
                        accepted, peer = await loop.sock_accept(listening)
                    accepted.close()
                    assert caller is not other or peer[0] == "10.99.0.2", "the source address is kept"
        with pytest.raises(SampanError, match="port is already allocated"):
            await networks.publish(given.container_id, bindings("8080:81/sctp"), [])


async def test_refusals_are_worded_as_docker_words_them(lab: Lab) -> None:
    async with lab.networks() as networks:
        first, second = lab.namespace(), lab.namespace()
        await networks.attach(request(first, "first", ports=("8080:80",)))
        allocated = (
            r"^driver failed programming external connectivity on endpoint second \([0-9a-f]{64}\): "
            r"Bind for 0\.0\.0\.0:8080 failed: port is already allocated$"
        )
        with pytest.raises(SampanError, match=allocated):
            await networks.attach(request(second, "second", ports=("8080:81",)))
        assert second.addresses() == set(), "a refused start leaves no link"
        taken = lab.host.socket()
        with taken:
            taken.bind(("0.0.0.0", 8081))
            with pytest.raises(SampanError, match=r"failed to bind host port for 0\.0\.0\.0:8081:172\.17\.0\.3:81/tcp: "
                               "address already in use$"):  # fmt: skip
                await networks.attach(request(second, "second", ports=("8081:81",)))
        with pytest.raises(SampanError, match=r"10\.9\.9\.9:80:172\.17\.0\.3:80/tcp: cannot assign requested address$"):
            await networks.attach(request(second, "second", ports=("10.9.9.9:80:80",)))
        given = await networks.attach(request(second, "second", ports=("8080-8082:80", ":443", "127.0.0.1:9000:90")))
        ports = {key: {(one.host_ip, one.host_port) for one in held or ()} for key, held in given.ports.items()}
        assert ports["80/tcp"] == {("0.0.0.0", "8081"), ("::", "8081")}
        assert ports["90/tcp"] == {("127.0.0.1", "9000")}
        assert {int(port) >= 32768 for _, port in ports["443/tcp"]} == {True}


async def test_ports_of_a_running_container_change(lab: Lab) -> None:
    async with lab.networks() as networks:
        web = lab.namespace()
        given = await networks.attach(request(web, "web", ports=("8080:80",)))
        async with server(web, 80):
            ports = await networks.publish(given.container_id, bindings("8081:80"), ["8080"])
            assert {one.host_port for one in ports["80/tcp"] or ()} == {"8081"}
            assert await call(lab.host, "127.0.0.1", 8080) == "ConnectionRefusedError"
            assert await call(lab.host, "127.0.0.1", 8081) == "172.17.0.1"
            # What two ports share stays until both are gone.
            await networks.publish(given.container_id, bindings("8082:80"), [])
            await networks.publish(given.container_id, {}, ["8082"])
            assert await call(web, "172.17.0.1", 8081) == "172.17.0.1"
            with pytest.raises(SampanError, match="port is already allocated"):
                await networks.publish(given.container_id, bindings("8081:81"), [])
            assert await call(web, "172.17.0.1", 8081) == "172.17.0.1"
            await networks.publish(given.container_id, {}, ["8081"])
            assert not networks._firewall._wanted["any4"] and not networks._firewall._wanted["self4"]


async def test_without_a_firewall_the_proxy_serves(lab: Lab) -> None:
    other = lab.neighbour()
    async with lab.networks(iptables=False, ip6tables=False) as networks:
        web = lab.namespace()
        await networks.attach(request(web, "web", ports=("8080:80",)))
        async with server(web, 80):
            assert await call(other, "10.99.0.1", 8080) == "172.17.0.1"
    assert lab.nft("list", "ruleset") == "", "--iptables=false leaves it all alone"


async def test_a_thousand_ports_cost_no_process(lab: Lab) -> None:
    """A socket holds the port, and nothing else; all of it is given back. The time is in the bench."""

    def links(namespace: Namespace) -> set[str]:
        route = namespace.route()
        found = {link.name for link in route.links()}
        route.close()
        return found

    def held() -> tuple[int, int, int]:
        children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
        return len(children), threading.active_count(), len(os.listdir("/proc/self/fd"))

    async with lab.networks() as networks:
        web = lab.namespace()
        await networks.attach(request(web, "web"))
        await networks.detach(request(web, "web").container_id)
        async with asyncio.timeout(30):
            while "eth0" in links(web):
                await asyncio.sleep(0.01)  # what a first container leaves behind: a thread that deletes links
        before = held()
        ports = tuple(f"{20000 + number}:{number + 1}" for number in range(1000))
        given = await networks.attach(request(web, "web", ports=ports))
        children, threads, descriptors = held()
        assert (children, threads) == before[:2]
        assert descriptors - before[2] <= 1002, "a socket a port, the container's namespace, an epoll for all"
        async with server(web, 500):
            assert await call(lab.host, "127.0.0.1", 20499) == "172.17.0.1"
            assert await call(lab.host, "::1", 20499) == "172.17.0.1"
        await networks.detach(given.container_id)
        async with asyncio.timeout(30):
            while held()[2] > before[2]:
                await asyncio.sleep(0.01)  # the test's own connections close with the loop's next rounds
        assert not networks._firewall._wanted["any4"] and not networks._firewall._wanted["self4"]
