"""Networks come and go without a trace, and outlive the daemon."""

from __future__ import annotations

import asyncio
import os
from ipaddress import ip_interface, ip_network

import pytest
from msgspec.structs import replace

from sampan.errors import Conflict, Forbidden, InvalidArgument, NotFound, SampanError
from sampan.linux import rtnetlink
from sampan.linux.nft import Nftables
from sampan.linux.rtnetlink import Route
from sampan.model.container import EndpointIPAMConfig, EndpointSettings
from sampan.network import options
from sampan.network.networks import Networks
from sampan.network.spec import IPAM, IPAMPool, NetworkSpec

from ...support.netlab import Lab, address, call, request, server


def picture(networks: Networks) -> tuple[set[str], int, int]:
    """(links of the host, firewall elements, open descriptors)."""
    route, loaded = Route(), Nftables()
    links = {link.name for link in route.links()}
    elements = sum(len(loaded.elements(networks._firewall.table, name)) for name in networks._firewall._wanted)
    route.close()
    loaded.close()
    return links, elements, len(os.listdir("/proc/self/fd"))


async def test_five_hundred_cycles_leave_nothing(lab: Lab) -> None:
    """Of connecting and disconnecting, by ten containers at a time."""
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="front"))
        await networks.create(NetworkSpec(name="back"))
        inside = [lab.namespace() for _ in range(10)]
        for number, namespace in enumerate(inside):
            await networks.attach(request(namespace, f"c{number}", "front", ports=(f"808{number}:80",)))
        addresses = set()

        async def cycle(number: int, times: int) -> None:
            container = request(inside[number], f"c{number}").container_id
            for _ in range(times):
                given = await networks.connect(container, "back", EndpointSettings(gw_priority=1))
                addresses.add(given.ip_address)
                await networks.disconnect(container, "back")

        async def all_of_them(times: int) -> None:
            await asyncio.gather(*(cycle(number, times) for number in range(10)))

        await all_of_them(1)  # threads of the loop's pool have come up by then
        before, held = picture(networks), [namespace.addresses() for namespace in inside]
        await all_of_them(50)
        assert picture(networks) == before
        assert [namespace.addresses() for namespace in inside] == held
        assert len(addresses) <= 10, "addresses are free again at once"
        async with server(inside[7], 80):
            assert await call(lab.host, "127.0.0.1", 8087) == "172.18.0.1"


async def test_a_hundred_networks(lab: Lab) -> None:
    async with lab.networks() as networks:
        before = picture(networks)
        made = [await networks.create(NetworkSpec(name=f"n{number}")) for number in range(100)]
        subnets = [ip_network(pool.subnet) for network in made for pool in network.ipam.config or ()]
        assert len(subnets) == 100
        assert not any(one.overlaps(other) for one in subnets for other in subnets if one is not other)
        gone = await networks.prune({})
        assert {network.name for network in gone} == {f"n{number}" for number in range(100)}
        assert picture(networks) == before


async def test_a_restart_changes_nothing(lab: Lab) -> None:
    async with lab.networks() as networks:
        network = await networks.create(NetworkSpec(name="front"))
        web, gone = lab.namespace(), lab.namespace()
        asked = request(web, "web", "front", ports=("8080:80", ":81"))
        sandbox = await networks.attach(asked)
        await networks.attach(request(gone, "gone", "front"))
        default = networks.get("bridge").id
    async with server(web, 80):
        assert await call(lab.host, "127.0.0.1", 8080) == "172.18.0.1", "ports stay open without a daemon"
        async with lab.networks() as networks:
            assert (networks.get("front"), networks.get("bridge").id) == (network, default)
            again = replace(asked, networks=sandbox.endpoints, published=sandbox.ports)
            restored = await networks.restore([again])
            assert restored[sandbox.container_id].endpoints == sandbox.endpoints
            assert restored[sandbox.container_id].ports == sandbox.ports
            links = {link.kind for link in networks._route.links() if link.name.startswith("vsp")}
            assert len([link for link in networks._route.links() if link.name.startswith("vsp")]) == 1, links
            assert await call(lab.host, "127.0.0.1", 8080) == "172.18.0.1"
            third = await networks.attach(request(lab.namespace(), "third", "front"))
            assert address(third, "front") == "172.18.0.3", "what is in use is not given twice"
            with pytest.raises(SampanError, match="port is already allocated"):
                await networks.attach(request(lab.namespace(), "fourth", "front", ports=("8080:80",)))


async def test_what_a_crash_leaves_is_collected(lab: Lab) -> None:
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="kept"))
        lost = await networks.create(NetworkSpec(name="lost"))
        web = lab.namespace()
        asked = request(web, "web", "kept", ports=("8080:80",))
        sandbox = await networks.attach(asked)
        networks._store._db.execute("DELETE FROM network WHERE id = ?", (lost.id,))
        networks._store._db.execute("UPDATE network SET record = x'00' WHERE name = 'none'")
    with lab.host.socket() as taken:
        taken.bind(("0.0.0.0", 8080))
        async with lab.networks() as networks:
            again = replace(asked, networks=sandbox.endpoints, published=sandbox.ports)
            await networks.restore([again])
            text = "\n".join(networks.warnings)
            assert f"br-{lost.id[:12]} belonged to no network" in text and "its record cannot be read" in text
            assert "web could not be restored" in text and "address already in use" in text
            assert networks._route.link(f"br-{lost.id[:12]}") is None
            other = await networks.attach(request(lab.namespace(), "other", "kept"))
            assert address(other, "kept") == "172.18.0.3", "its address is still its own"


async def test_docker_words(lab: Lab) -> None:
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="front", ipam=IPAM(config=[IPAMPool(subnet="10.1.0.0/16")])))
        cases = [
            (NetworkSpec(name="front"), Conflict, "network with name front already exists"),
            (NetworkSpec(name="host"), Forbidden, "operation is not permitted on predefined host network"),
            (NetworkSpec(name=" "), InvalidArgument, "invalid name: name is empty"),
            (NetworkSpec(name="x", driver="host"), Forbidden, 'only one instance of "host" network is allowed'),
            (NetworkSpec(name="x", driver="foo"), NotFound, 'plugin "foo" not found'),
            (NetworkSpec(name="x", ipam=IPAM(config=[IPAMPool(subnet="10.1.2.0/24")])), Forbidden,
             "invalid pool request: Pool overlaps with other one on this address space"),
            (NetworkSpec(name="x", ipam=IPAM(config=[IPAMPool(subnet="10.2.0.5/16")])), InvalidArgument,
             "invalid network config:\ninvalid subnet 10.2.0.5/16: it should be 10.2.0.0/16"),
            (NetworkSpec(name="x", ipam=IPAM(config=[IPAMPool(subnet="10.2.0.0")])), InvalidArgument,
             "invalid network config:\ninvalid subnet 10.2.0.0: invalid CIDR block notation"),
            (NetworkSpec(name="x", options={"com.docker.network.bridge.enable_icc": "maybe"}), InvalidArgument,
             "failed to parse com.docker.network.bridge.enable_icc value: maybe "
             '(strconv.ParseBool: parsing "maybe": invalid syntax)'),
        ]  # fmt: skip
        for spec, kind, text in cases:
            with pytest.raises(kind) as raised:
                await networks.create(spec)
            assert str(raised.value) == text
        with pytest.raises(Forbidden, match=r"^bridge is a pre-defined network and cannot be removed$"):
            await networks.remove("bridge")
        inside = lab.namespace()
        wanted = EndpointSettings(ipam_config=EndpointIPAMConfig(ipv4_address="10.1.0.77"))
        sandbox = await networks.attach(request(inside, "inside", endpoints={"front": wanted}))
        assert address(sandbox, "front") == "10.1.0.77"
        with pytest.raises(Conflict, match=r"^Address already in use$"):
            await networks.attach(request(lab.namespace(), "second", endpoints={"front": wanted}))
        short = sandbox.endpoints["front"].endpoint_id[:12]
        with pytest.raises(Forbidden, match=rf'has active endpoints \(name:"inside" id:"{short}"\)$'):
            await networks.remove("front")
        with pytest.raises(Forbidden, match=r"^endpoint with name inside already exists in network front$"):
            await networks.connect(sandbox.container_id, "front", EndpointSettings())
        small = IPAM(config=[IPAMPool(subnet="10.3.0.0/30")])
        network = await networks.create(NetworkSpec(name="small", ipam=small))
        await networks.attach(request(lab.namespace(), "one", "small"))
        with pytest.raises(Forbidden) as full:
            await networks.attach(request(lab.namespace(), "two", "small"))
        assert str(full.value) == f"no available IPv4 addresses on this network's address pools: small ({network.id})"


@pytest.mark.parametrize(
    ("settings", "subnets", "first"),
    [
        ({}, [("172.17.0.0/16", "172.17.0.1")], "172.17.0.2"),
        ({"bip": "10.5.0.9/24"}, [("10.5.0.0/24", "10.5.0.9")], "10.5.0.1"),
        ({"bip": "10.5.0.1/24", "fixed_cidr": "10.5.0.64/26"}, [("10.5.0.0/24", "10.5.0.1")], "10.5.0.64"),
        ({"fixed_cidr": "10.6.0.0/24"}, [("10.6.0.0/24", "10.6.0.1")], "10.6.0.2"),
        ({"ipv6": True, "fixed_cidr_v6": "fd00:5::/64"},
         [("172.17.0.0/16", "172.17.0.1"), ("fd00:5::/64", "fd00:5::1")], "172.17.0.2"),
    ],
)  # fmt: skip
async def test_the_default_bridge(
    lab: Lab, settings: dict[str, object], subnets: list[tuple[str, str]], first: str
) -> None:
    async with lab.networks() as networks:
        identity = networks.get("bridge").id
    async with lab.networks(**settings) as networks:
        assert networks.warnings == []
        bridge = networks.get("bridge")
        assert bridge.id == identity
        assert [(pool.subnet, pool.gateway) for pool in bridge.ipam.config or ()] == subnets
        assert lab.host.addresses() == {f"{gateway}/{subnet.split('/')[1]}" for subnet, gateway in subnets}
        inside = lab.namespace()
        sandbox = await networks.attach(request(inside, "inside"))
        assert address(sandbox) == first
        assert networks._sandboxes.host_gateways() == [gateway for _, gateway in subnets]
    async with lab.networks(bridge="none") as networks:
        assert [network.name for network in networks.list({})] == ["host", "none"]


async def test_a_default_bridge_of_somebody_elses(lab: Lab) -> None:
    """`"bridge": "mine"`: its address is used, and stays."""
    route = lab.host.route()
    route.request(rtnetlink.bridge("mine"))
    link = route.link("mine")
    assert link is not None
    route.request(rtnetlink.address(link.index, ip_interface("192.168.77.9/24")))
    for _ in range(2):
        async with lab.networks(bridge="mine") as networks:
            shown = networks.get("bridge").ipam.config or []
            assert [(pool.subnet, pool.gateway) for pool in shown] == [("192.168.77.0/24", "192.168.77.9")]
            sandbox = await networks.attach(request(lab.namespace(), "inside"))
            assert address(sandbox) == "192.168.77.1"
        assert "192.168.77.9/24" in lab.host.addresses()
    route.close()


async def test_sysctls_names_and_macs(lab: Lab) -> None:
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="front", options={options.INTERFACE_PREFIX: "net", options.MTU: "1400"}))
        inside = lab.namespace()
        given = EndpointSettings(
            mac_address="02:00:00:00:00:07",
            driver_opts={options.ENDPOINT_SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=1"},
        )
        named = EndpointSettings(driver_opts={options.ENDPOINT_INTERFACE: "lan"}, gw_priority=1)
        await networks.attach(request(inside, "inside", endpoints={"front": given, "bridge": named}))
        route = inside.route()
        links = {link.name: link for link in route.links()}
        default = next(index for to, _, index in route.routes() if to.prefixlen == 0)
        route.close()
        assert set(links) == {"lo", "net0", "lan"}
        assert (links["net0"].mac, links["net0"].mtu) == ("02:00:00:00:00:07", 1400)
        assert inside.sysctl("net/ipv4/conf/net0/log_martians") == "1"
        assert links["lan"].index == default, "the gateway's priority decides"
