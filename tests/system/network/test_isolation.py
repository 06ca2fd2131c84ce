"""Who may talk to whom, by what arrives on the wire."""

from __future__ import annotations

import asyncio
import subprocess

import pytest

from sampan.linux import rtnetlink
from sampan.network import options
from sampan.network.ipam import ip_network
from sampan.network.spec import IPAM, IPAMPool, NetworkSpec

from ...support.netlab import PATIENCE, REFUSAL, Lab, Namespace, address, call, request, server


def add_route(namespace: Namespace, subnet: str, via: str) -> None:
    route = namespace.route()
    link = route.link("up0") or route.link("eth0")
    assert link is not None
    route.request(rtnetlink.route(link.index, rtnetlink.IPv4Address(via), ip_network(subnet)))
    route.close()


async def test_only_published_ports_are_reached_by_routing(lab: Lab) -> None:
    """A host that routes to our bridge reaches what is published, and in routed networks nothing else."""
    other = lab.neighbour()
    add_route(other, "172.16.0.0/12", "10.99.0.1")
    routed = {options.GATEWAY_MODE_IPV4: "routed"}
    open_door = {options.GATEWAY_MODE_IPV4: "nat-unprotected"}
    async with lab.networks() as networks:
        for name, given in (("nat", {}), ("routed", routed), ("unprotected", open_door)):
            await networks.create(NetworkSpec(name=name, options=given))
        expected = {"nat": (False, False), "routed": (True, False), "unprotected": (True, True)}
        for name, passes in expected.items():
            inside = lab.namespace()
            sandbox = await networks.attach(request(inside, name, name, ports=("127.0.0.1::80",)))
            target = address(sandbox, name)
            async with server(inside, 80), server(inside, 81):
                for port, passing in zip((80, 81), passes, strict=True):
                    seen = await call(other, target, port, PATIENCE if passing else REFUSAL)
                    assert seen == ("10.99.0.2" if passing else "TimeoutError"), (name, port)
                assert await call(inside, "10.99.0.2", 9, 1) == "ConnectionRefusedError", "they reach out"


@pytest.mark.parametrize("bridge_netfilter", ["1", "0"])
async def test_icc_can_be_turned_off(lab: Lab, bridge_netfilter: str) -> None:
    lab.bridge_netfilter(bridge_netfilter)
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="quiet", options={options.ICC: "false"}))
        first, second = lab.namespace(), lab.namespace()
        sandbox = await networks.attach(request(first, "first", "quiet", ports=("8080:80",)))
        await networks.attach(request(second, "second", "quiet"))
        async with server(first, 80):
            assert await call(second, address(sandbox, "quiet"), 80, REFUSAL) in ("TimeoutError", "OSError")
            assert await call(second, "172.18.0.1", 8080) != "TimeoutError", "published ports go on"


async def test_addresses_and_gateways(lab: Lab) -> None:
    """Addresses asked for by name, ranges, auxiliary addresses, several networks and the gateway's choice."""
    async with lab.networks() as networks:
        pool = IPAMPool(subnet="10.50.0.0/24", ip_range="10.50.0.128/25", auxiliary_addresses={"x": "10.50.0.129"})
        await networks.create(NetworkSpec(name="a", ipam=IPAM(config=[pool])))
        await networks.create(NetworkSpec(name="b", internal=True))
        inside = lab.namespace()
        sandbox = await networks.attach(request(inside, "both", "a", "b"))
        assert (sandbox.endpoints["a"].gateway, address(sandbox, "a")) == ("10.50.0.128", "10.50.0.130")
        assert sandbox.endpoints["b"].gateway == "", "an internal network gives no gateway"
        route = inside.route()
        defaults = [str(via) for to, via, _ in route.routes() if to.prefixlen == 0]
        route.close()
        assert defaults == ["10.50.0.128"]
        assert inside.sysctl("net/ipv6/conf/eth0/disable_ipv6") == "1", "IPv6 is off where it was not asked for"


async def test_beside_iptables_that_drops(lab: Lab) -> None:
    """A FORWARD policy of DROP, set before or after us, does not cut containers off; iptables still reads its table."""
    other = lab.neighbour()

    def iptables(*command: str) -> str:
        return subprocess.run(["iptables", *command], check=True, capture_output=True, text=True).stdout

    iptables("-P", "FORWARD", "DROP")
    async with lab.networks() as networks:
        web = lab.namespace()
        await networks.attach(request(web, "web", ports=("8080:80",)))
        async with server(web, 80), server(other, 9000):
            assert await call(other, "10.99.0.1", 8080) == "10.99.0.2"
            assert await call(web, "10.99.0.2", 9000) == "10.99.0.1"
            iptables("-F", "FORWARD")
            async with asyncio.timeout(3):
                while "sampan0" not in iptables("-S", "FORWARD"):
                    await asyncio.sleep(0.02)  # nothing tells a test that it was mended
            assert await call(web, "10.99.0.2", 9000) == "10.99.0.1"
        await networks.create(NetworkSpec(name="extra", options={options.NAME: "br-extra"}))
        assert '-i br-extra -m comment --comment "sampan from br-extra" -j ACCEPT' in iptables("-S", "FORWARD")
        await networks.remove("extra")
        assert "br-extra" not in iptables("-S", "FORWARD")


async def test_the_table_of_another_version(lab: Lab) -> None:
    """Chains and sets of other kinds give way; the operator's rules, put there before we ever ran, do not."""
    rules = lab.directory / "rules.nft"
    rules.write_text("""table inet sampan {
        set bridges { type ipv4_addr; elements = { 10.0.0.1 }; }
        map entrance4 { type ifname : verdict; elements = { "x" : goto old }; }
        chain old { drop; }
        chain forward { type filter hook forward priority 5; ip saddr @bridges drop; oifname vmap @entrance4; }
        chain guard { type filter hook forward priority 10; drop; }
        chain operator { ip saddr 10.99.0.0/24 tcp dport { 8080, 8443 } drop; }
    }""")
    lab.nft("-f", str(rules))
    other, friend = lab.neighbour(0), lab.neighbour(1)
    async with lab.networks() as networks:
        assert networks.warnings == []
        web = lab.namespace()
        await networks.attach(request(web, "web", ports=("8080:80",)))
        async with server(web, 80):
            assert await call(other, "10.99.0.1", 8080, REFUSAL) == "TimeoutError"
            assert await call(friend, "10.99.1.1", 8080) == "10.99.1.2"
        assert "chain old" not in lab.nft("list", "ruleset")
