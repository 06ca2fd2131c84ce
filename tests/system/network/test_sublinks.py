"""macvlan and ipvlan: containers on the segment of the host's own link."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from sampan.errors import InvalidArgument, NotImplementedHere
from sampan.linux import rtnetlink
from sampan.model.container import EndpointIPAMConfig, EndpointSettings
from sampan.network.networks import Networks
from sampan.network.spec import IPAM, IPAMPool, Network, NetworkSpec

from ...support.netlab import REFUSAL, Lab, address, call, kernel_has, request, server


async def make(networks: Networks, name: str, driver: str, subnet: str, gateway: str, **options: str) -> Network:
    pool = IPAMPool(subnet=subnet, gateway=gateway, ip_range=f"{gateway.rsplit('.', 1)[0]}.128/25")
    return await networks.create(NetworkSpec(name=name, driver=driver, ipam=IPAM(config=[pool]), options=options))


async def test_macvlan_containers_are_on_the_segment(lab: Lab) -> None:
    other = lab.neighbour()
    async with lab.networks() as networks:
        await make(networks, "segment", "macvlan", "10.99.0.0/24", "10.99.0.2", parent="up0")
        first, second = lab.namespace(), lab.namespace()
        one = await networks.attach(request(first, "first", "segment", ports=("8080:80",)))
        two = await networks.attach(request(second, "second", "segment"))
        assert one.ports["80/tcp"] in (None, []), "nothing is published: the container has its own address there"
        async with server(first, 80), server(other, 9000):
            assert await call(other, address(one, "segment"), 80) == "10.99.0.2"
            assert await call(second, address(one, "segment"), 80) == address(two, "segment")
            assert await call(second, "10.99.0.2", 9000) == address(two, "segment")
        await networks.disconnect(two.container_id, "segment")
        assert second.addresses() == set()
        with pytest.raises(
            InvalidArgument, match=r"^invalid subinterface vlan name eth9, example formatting is eth0\.10$"
        ):
            await make(networks, "x", "macvlan", "10.98.0.0/24", "10.98.0.2", parent="eth9")
        await networks.detach(one.container_id)
        await networks.remove("segment")
        assert networks._route.link("up0") is not None, "the host's own link stays"


async def test_macvlan_without_a_parent_is_internal(lab: Lab) -> None:
    async with lab.networks() as networks:
        network = await networks.create(NetworkSpec(name="alone", driver="macvlan"))
        first, second = lab.namespace(), lab.namespace()
        one = await networks.attach(request(first, "first", "alone"))
        await networks.attach(request(second, "second", "alone"))
        async with server(first, 80):
            assert await call(second, address(one, "alone"), 80) != "TimeoutError"
        for name in ("first", "second"):
            await networks.detach(request(first, name).container_id)
        await networks.remove("alone")
        assert networks._route.link(f"dm-{network.id[:12]}") is None


async def test_several_pools(lab: Lab) -> None:
    """Addresses come from the first pool that has one, and from each by name; each subnet is on the segment."""
    pools = [IPAMPool(subnet="10.95.0.0/30"), IPAMPool(subnet="10.95.1.0/24", gateway="10.95.1.254")]
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="wide", driver="macvlan", ipam=IPAM(config=pools)))
        given = [await networks.attach(request(lab.namespace(), f"c{number}", "wide")) for number in range(3)]
        assert [address(one, "wide") for one in given] == ["10.95.0.2", "10.95.1.1", "10.95.1.2"]
        wanted = EndpointSettings(ipam_config=EndpointIPAMConfig(ipv4_address="10.95.1.77"))
        inside = lab.namespace()
        named = await networks.attach(request(inside, "named", endpoints={"wide": wanted}))
        assert named.endpoints["wide"].ip_address == "10.95.1.77"
        assert inside.addresses() == {"10.95.1.77/24"}


@pytest.mark.parametrize(("kind", "driver", "parent"), [("vlan", "macvlan", "up0.100"), ("ipvlan", "ipvlan", "up0")])
async def test_what_the_kernel_lacks_is_refused(lab: Lab, kind: str, driver: str, parent: str) -> None:
    if kernel_has(kind):
        pytest.skip(f"this kernel has {kind} links")
    lab.neighbour()
    lacking = {"vlan": r"^this kernel has no 802\.1q interfaces$", "ipvlan": "^this kernel has no ipvlan interfaces$"}
    async with lab.networks() as networks:
        with pytest.raises(NotImplementedHere, match=lacking[kind]):
            await make(networks, "x", driver, "10.97.0.0/24", "10.97.0.2", parent=parent)


async def test_vlan_100(lab: Lab) -> None:
    """On VLAN 100 of the segment, by frames that carry its tag, and off it again."""
    if not kernel_has("vlan"):
        pytest.skip("this kernel has no 802.1q links")
    other = lab.neighbour()
    async with lab.networks() as networks, server(lab.host, 9000):
        await make(networks, "tagged", "macvlan", "10.97.0.0/24", "10.97.0.2", parent="up0.100")
        route = other.route()
        up0 = route.link("up0")
        assert up0 is not None
        route.request(rtnetlink.vlan("up0.100", up0.index, 100))
        tagged = route.link("up0.100")
        assert tagged is not None
        route.request(rtnetlink.set_link(tagged.index, up=True),
                      rtnetlink.address(tagged.index, ip_interface("10.97.0.2/24")))  # fmt: skip
        route.close()
        first, second = lab.namespace(), lab.namespace()
        one = await networks.attach(request(first, "first", "tagged"))
        two = await networks.attach(request(second, "second", "tagged"))
        async with server(first, 80), server(other, 9000):
            assert await call(other, address(one, "tagged"), 80) == "10.97.0.2", "its own address, tagged"
            assert await call(second, "10.97.0.2", 9000) == address(two, "tagged")
            assert await call(second, address(one, "tagged"), 80) == address(two, "tagged")
            assert await call(first, "10.99.0.1", 9000, REFUSAL) != "10.97.0.128", "the untagged segment is another"
        assert networks._route.link("up0.100") is not None
        for sandbox in (one, two):
            await networks.detach(sandbox.container_id)
        await networks.remove("tagged")
        assert networks._route.link("up0.100") is None, "the interface that the network made goes with it"


@pytest.mark.parametrize("mode", ["l2", "l3", "l3s"])
async def test_ipvlan(lab: Lab, mode: str) -> None:
    if not kernel_has("ipvlan"):
        pytest.skip("this kernel has no ipvlan links")
    other = lab.neighbour()
    async with lab.networks() as networks:
        subnet = "10.99.0.0/24" if mode == "l2" else "10.96.0.0/24"
        await make(networks, "shared", "ipvlan", subnet, subnet[:6] + "0.2", parent="up0", ipvlan_mode=mode)
        inside = lab.namespace()
        sandbox = await networks.attach(request(inside, "inside", "shared"))
        if mode != "l2":
            # Nobody answers for its addresses on the segment: they are behind this host.
            route = other.route()
            up0 = route.link("up0")
            assert up0 is not None
            route.request(rtnetlink.route(up0.index, ip_address("10.99.0.1"), ip_network(subnet)))
            route.close()
        async with server(other, 9000):
            assert await call(inside, "10.99.0.2", 9000) == address(sandbox, "shared")
