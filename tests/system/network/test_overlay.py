"""Three hosts with an overlay network between them."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from base64 import b64encode
from contextlib import AsyncExitStack
from ipaddress import ip_interface
from pathlib import Path

import pytest
from dnslib import DNSRecord

from sampan.errors import InvalidArgument, Unavailable
from sampan.linux import rtnetlink
from sampan.network.files import RESOLVER
from sampan.network.keyvalue import KeyValue
from sampan.network.spec import IPAM, IPAMPool, NetworkSpec

from ...support.certificates import make_certificates
from ...support.netlab import Capture, Lab, Namespace, address, call, exchange, pings, server
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
                assert await pings(inside, addresses[0])
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
        await machines[0].come_back(running[0])
        assert await resolve(running[1][0], "c1") == [addresses[0]]


class Etcd:
    """Debian's, on the switch, in the test's own namespace; with TLS and users it takes nobody in without both."""

    def __init__(self, directory: Path, *, secure: bool) -> None:
        self._directory = directory
        self._secure = secure
        self.options = {"kv": f"{'https' if secure else 'http'}://10.98.0.100:2379"}
        if secure:
            make_certificates(directory, "10.98.0.100")
            (directory / "password").write_text("sesame\n")
            files = {
                "kv-cacert": "ca.pem",
                "kv-cert": "client.pem",
                "kv-key": "client.key",
                "kv-password-file": "password",
            }
            self.options |= {name: str(directory / file) for name, file in files.items()} | {"kv-user": "overlay"}
        self._process: subprocess.Popen[bytes]

    async def start(self) -> None:
        """It answers when this returns."""
        client, peer = self.options["kv"], "http://10.98.0.100:2380"
        flags = {"data-dir": self._directory / "etcd", "listen-client-urls": client, "advertise-client-urls": client,
                 "listen-peer-urls": peer, "initial-advertise-peer-urls": peer,
                 "initial-cluster": f"default={peer}"}  # fmt: skip
        if self._secure:
            files = {"cert-file": "server.pem", "key-file": "server.key", "trusted-ca-file": "ca.pem"}
            flags |= {name: self._directory / file for name, file in files.items()} | {"client-cert-auth": "true"}
        self._process = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig",
                "KILL",
                "etcd",
                "--unsafe-no-fsync",
                *(f"--{key}={flags[key]}" for key in flags),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("10.98.0.100", 2379)
                    writer.close()
                    return
                except OSError:
                    await asyncio.sleep(0.05)  # a process that has not yet bound its socket announces nothing

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def restrict(self) -> None:
        """From now on only users are let in, and `overlay` reaches its own keys."""
        place = {"key": b64encode(b"/sampan/").decode(), "range_end": b64encode(b"/sampan0").decode()}
        without_user = {
            name: text for name, text in self.options.items() if name not in ("kv-user", "kv-password-file")
        }
        store = KeyValue(without_user)
        for name, password in (("root", "top"), ("overlay", "sesame")):
            store._granted(*store._post("auth/user/add", {"name": name, "password": password}))
        for name in ("root", "overlay"):
            store._granted(*store._post("auth/role/add", {"name": name}))
            store._granted(*store._post("auth/user/grant", {"user": name, "role": name}))
        permission = {"name": "overlay", "perm": {"permType": "READWRITE", **place}}
        store._granted(*store._post("auth/role/grant", permission))
        store._granted(*store._post("auth/enable", {}))
        with pytest.raises(Unavailable):
            store.hosts("wide")


@pytest.mark.parametrize("secure", [False, True], ids=["open", "secure"])
async def test_hosts_find_each_other_in_etcd(lab: Lab, secure: bool) -> None:
    route = lab.host.route()
    route.request(rtnetlink.bridge("switch"))
    link = route.link("switch")
    assert link is not None
    route.request(rtnetlink.address(link.index, ip_interface("10.98.0.100/24")))
    route.close()
    etcd = Etcd(lab.directory, secure=secure)
    await etcd.start()
    try:
        if secure:
            await asyncio.to_thread(etcd.restrict)
        await _share_a_network(lab, etcd)
    finally:
        etcd.stop()


async def _share_a_network(lab: Lab, etcd: Etcd) -> None:
    machines = [Machine(lab, number) for number in (1, 2, 3)]
    async with AsyncExitStack() as stack:
        for machine in machines:
            await machine.open(lab.directory)
            stack.push_async_callback(machine.close)
            options = {**etcd.options, "local": f"10.98.0.{machine.number}"}
            with machine.namespace.inside():
                made = await machine.networks.create(NetworkSpec(name="wide", driver="overlay", options=options))
            assert made.options["part"] == str(machine.number - 1)
        shown = {machine.networks.get("wide").ipam.config[0].subnet for machine in machines}  # type: ignore[index] # it has one
        assert len(shown) == 1, "the first host's choice is everyone's"
        running = [await machine.run(f"c{machine.number}") for machine in machines]
        addresses = [address(sandbox, "wide") for _, sandbox in running]
        assert len(set(addresses)) == 3

        async def reached_by(number: int) -> None:
            """The first host hears of the others by its next look; a neighbour that was away is asked anew."""
            inside = running[number][0]
            async with asyncio.timeout(30):
                while await call(inside, addresses[0], 80, 0.5) != addresses[number]:
                    pass
                while await resolve(inside, "c1") != [addresses[0]]:
                    pass

        async with server(running[0][0], 80):
            await reached_by(1)
            await reached_by(2)
            etcd.stop()
            assert await call(running[1][0], addresses[0], 80) == addresses[1], "the store may be away"
            machines[2].plug(False)
            assert await call(running[2][0], addresses[0], 80, 0.4) in ("TimeoutError", "OSError")
            # A daemon that comes back while the store is away knows its network by its own record.
            await machines[0].close()
            await machines[0].come_back(running[0])
            await reached_by(1)
            await etcd.start()
            machines[2].plug(True)
            await reached_by(2)
        assert KeyValue(etcd.options).hosts("wide") == {part: f"10.98.0.{part + 1}" for part in range(3)}
        for machine, (_, sandbox) in zip(machines, running, strict=True):
            with machine.namespace.inside():
                await machine.networks.detach(sandbox.container_id)
                await machine.networks.remove("wide")
        assert KeyValue(etcd.options).read("/sampan/overlay/") == {}, "nothing stays in the store"


async def test_what_cannot_be_is_refused(lab: Lab) -> None:
    lab.neighbour()
    cases = [
        ({"kv": "http://127.0.0.1:2379"}, InvalidArgument, "need the option local"),
        ({}, InvalidArgument, "need the option peers"),
        ({"peers": "10.99.0.2,10.99.0.3"}, InvalidArgument, "must be an address of this host"),
        ({"peers": "10.99.0.1,x"}, InvalidArgument, "invalid overlay option"),
        ({"kv": "ftp://x", "local": "10.99.0.1"}, InvalidArgument, "invalid key-value store: ftp://x"),
        ({"kv": "https://x", "kv-cert": "c", "local": "10.99.0.1"}, InvalidArgument, "kv-cert goes with kv-key"),
        (
            {"kv": "https://127.0.0.1:1", "kv-cacert": "/nonesuch", "local": "10.99.0.1"},
            InvalidArgument,
            "certificates for the key-value store cannot be used",
        ),
        ({"kv": "http://127.0.0.1:1", "local": "10.99.0.1"}, Unavailable, "key-value store http://127.0.0.1:1: "),
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
