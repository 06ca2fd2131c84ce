"""Three hosts with an overlay network between them."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from contextlib import AsyncExitStack
from ipaddress import ip_interface
from pathlib import Path

import pytest
from dnslib import DNSRecord

from sampan.errors import InvalidArgument
from sampan.linux import rtnetlink
from sampan.network.files import RESOLVER
from sampan.network.keyvalue import KeyValue
from sampan.network.spec import IPAM, IPAMPool, NetworkSpec

from ...support.netlab import Capture, Lab, Namespace, address, call, exchange, request, server
from ...support.overlaylab import Machine, bulk
from ...support.overlaylab import machines as connected

PEERS = "10.98.0.1,10.98.0.2,10.98.0.3"
SPEC = NetworkSpec(
    name="wide",
    driver="overlay",
    attachable=True,
    ipam=IPAM(config=[IPAMPool(subnet="10.77.0.0/24")]),
    options={"peers": PEERS},
)


async def resolve(namespace: Namespace, name: str) -> list[str]:
    with namespace.socket(kind=socket.SOCK_DGRAM) as asking:
        answer = await exchange(asking, (RESOLVER, 53), bytes(DNSRecord.question(name).pack()))
    return [str(one.rdata) for one in DNSRecord.parse(answer).rr] if answer else []


async def test_three_hosts(lab: Lab) -> None:
    async with AsyncExitStack() as stack:
        machines = await connected(lab, stack, 3)
        for machine in machines:
            with machine.namespace.inside():
                await machine.networks.create(SPEC)
        running = [await machine.run(f"c{machine.number}") for machine in machines]
        addresses = [address(sandbox, "wide") for _, sandbox in running]
        assert len(set(addresses)) == 3, "hosts give addresses from parts of their own"
        wire = Capture(machines[0].namespace)
        async with server(running[0][0], 80):
            for inside, sandbox in running[1:]:
                assert await resolve(inside, "c1") == [addresses[0]]
                assert await call(inside, addresses[0], 80) == address(sandbox, "wide")
                assert await bulk(inside, addresses[0]) == 300_000, "whole segments fit into the tunnel"
        assert any(frame[36:38] == b"\x12\xb5" for frame in wire.frames()), "by VXLAN"
        wire.close()
        assert await resolve(running[0][0], "nobody") == []
        machines[2].plug(False)
        async with server(running[0][0], 80):
            assert await call(running[2][0], addresses[0], 80, 0.4) in ("TimeoutError", "OSError")
            assert await call(running[1][0], addresses[0], 80) == addresses[1]
            assert await resolve(running[1][0], "c3") == []
            machines[2].plug(True)
            async with asyncio.timeout(10):
                while await call(running[2][0], addresses[0], 80, 0.4) != addresses[2]:
                    pass
            async with asyncio.timeout(10):  # the neighbour that was away has to be asked anew
                while await resolve(running[1][0], "c3") != [addresses[2]]:
                    pass
        # The daemon of one host goes and comes back; its containers are reached all the while.
        await machines[0].networks.close()
        async with server(running[0][0], 80):
            assert await call(running[1][0], addresses[0], 80) == addresses[1]
        machines[0].db.close()
        await machines[0].open(lab.directory)
        assert machines[0].networks.warnings == []
        with machines[0].namespace.inside():
            asked = request(running[0][0], "c1", endpoints=running[0][1].endpoints)
            await machines[0].networks.restore([asked])
        assert await resolve(running[1][0], "c1") == [addresses[0]]


async def serve_etcd(directory: Path) -> subprocess.Popen[bytes]:
    """An etcd on the switch, in the test's own namespace; answers when this returns."""
    client, peer = "http://10.98.0.100:2379", "http://10.98.0.100:2380"
    flags = {"data-dir": str(directory / "etcd"), "listen-client-urls": client, "advertise-client-urls": client,
             "listen-peer-urls": peer, "initial-advertise-peer-urls": peer,
             "initial-cluster": f"default={peer}"}  # fmt: skip
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "etcd", "--unsafe-no-fsync", *(f"--{key}={flags[key]}" for key in flags)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("10.98.0.100", 2379)
                writer.close()
                return process
            except OSError:
                await asyncio.sleep(0.05)  # a process that has not yet bound its socket announces nothing


async def test_hosts_find_each_other_in_etcd(lab: Lab) -> None:
    route = lab.host.route()
    route.request(rtnetlink.bridge("switch"))
    link = route.link("switch")
    assert link is not None
    route.request(rtnetlink.address(link.index, ip_interface("10.98.0.100/24")))
    route.close()
    etcd = await serve_etcd(lab.directory)
    store = KeyValue("http://10.98.0.100:2379")
    try:
        machines = [Machine(lab, number) for number in (1, 2, 3)]
        async with AsyncExitStack() as stack:
            for machine in machines:
                await machine.open(lab.directory)
                stack.push_async_callback(machine.close)
                options = {"kv": "http://10.98.0.100:2379", "local": f"10.98.0.{machine.number}"}
                with machine.namespace.inside():
                    made = await machine.networks.create(NetworkSpec(name="wide", driver="overlay", options=options))
                assert made.options["part"] == str(machine.number - 1)
            shown = {machine.networks.get("wide").ipam.config[0].subnet for machine in machines}  # type: ignore[index] # it has one
            assert len(shown) == 1, "the first host's choice is everyone's"
            running = [await machine.run(f"c{machine.number}") for machine in machines]
            addresses = [address(sandbox, "wide") for _, sandbox in running]
            assert len(set(addresses)) == 3
            async with server(running[0][0], 80), asyncio.timeout(15):
                for inside, sandbox in running[1:]:
                    while await call(inside, addresses[0], 80, 0.5) != address(sandbox, "wide"):
                        pass  # the first host hears of the others by its next look
                    while await resolve(inside, "c1") != [addresses[0]]:
                        pass
                etcd.kill()
                etcd.wait()
                assert await call(running[1][0], addresses[0], 80) == addresses[1], "the store may be away"
                etcd = await serve_etcd(lab.directory)
            assert store.hosts("wide") == {part: f"10.98.0.{part + 1}" for part in range(3)}
            for machine, (_, sandbox) in zip(machines, running, strict=True):
                with machine.namespace.inside():
                    await machine.networks.detach(sandbox.container_id)
                    await machine.networks.remove("wide")
            assert store.read("/sampan/overlay/") == {}, "nothing stays in the store"
    finally:
        etcd.kill()
        etcd.wait()


async def test_what_cannot_be_is_refused(lab: Lab) -> None:
    lab.neighbour()
    cases = [
        ({"kv": "http://127.0.0.1:2379"}, InvalidArgument, "need the option local"),
        ({}, InvalidArgument, "need the option peers"),
        ({"peers": "10.99.0.2,10.99.0.3"}, InvalidArgument, "must be an address of this host"),
        ({"peers": "10.99.0.1,x"}, InvalidArgument, "invalid overlay option"),
    ]
    async with lab.networks() as networks:
        for options, kind, text in cases:
            spec = NetworkSpec(name="x", driver="overlay", options=options, ipam=SPEC.ipam)
            with pytest.raises(kind, match=text):
                await networks.create(spec)
        with pytest.raises(InvalidArgument, match="need a subnet"):
            await networks.create(NetworkSpec(name="x", driver="overlay", options={"peers": "10.99.0.1"}))
        assert networks.list({"driver": ["overlay"]}) == []
        assert not [link for link in networks._route.links() if link.kind == "vxlan"]
