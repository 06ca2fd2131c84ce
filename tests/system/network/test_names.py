"""The embedded DNS server."""

from __future__ import annotations

import asyncio
import random
import socket
from ipaddress import ip_address

import pytest
from dnslib import DNSRecord

from sampan.model.container import EndpointSettings
from sampan.network import dnsmessage, forwarder
from sampan.network.files import RESOLVER
from sampan.network.spec import NetworkSpec

from ...support.netlab import Lab, Namespace, exchange, request

SERVER = (RESOLVER, 53)


async def ask(namespace: Namespace, name: str, kind: str = "A", patience: float = 10) -> tuple[int, list[str]]:
    """(response code, record data) as another implementation reads the answer; code -1 for silence."""
    asking = namespace.socket(kind=socket.SOCK_DGRAM)
    with asking:
        answer = await exchange(asking, SERVER, bytes(DNSRecord.question(name, kind).pack()), patience)
    if not answer:
        return -1, []
    record = DNSRecord.parse(answer)
    return record.header.rcode, [str(one.rdata) for one in record.rr]


async def ask_over_stream(namespace: Namespace, *names: str) -> list[list[str]]:
    """Several questions over one connection."""
    asking = namespace.socket()
    loop = asyncio.get_running_loop()
    with asking:
        await loop.sock_connect(asking, SERVER)
        reader, writer = await asyncio.open_connection(sock=asking)
        found = []
        for name in names:
            message = bytes(DNSRecord.question(name).pack())
            writer.write(len(message).to_bytes(2, "big") + message)
            size = int.from_bytes(await reader.readexactly(2), "big")
            found.append([str(one.rdata) for one in DNSRecord.parse(await reader.readexactly(size)).rr])
        writer.close()
    return found


class Upstream(asyncio.DatagramProtocol):
    """A resolver of the host's: every name has the address 192.0.2.1; `mute` ones get no answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.asked: list[str] = []

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        question = dnsmessage.parse(data)
        self.asked.append(question.name)
        if not question.name.startswith("mute"):
            record = dnsmessage.address_record(ip_address("192.0.2.1"))
            self.transport.sendto(dnsmessage.reply(question, [record]), peer)  # type: ignore[attr-defined] # datagrams


async def upstream(namespace: Namespace, address: str) -> Upstream:
    opened = namespace.socket(kind=socket.SOCK_DGRAM)
    opened.bind((address, 53))
    _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Upstream, sock=opened)
    return protocol


async def test_names_resolve_where_they_should(lab: Lab) -> None:
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="front", enable_ipv6=True))
        await networks.create(NetworkSpec(name="back"))
        web, db, outside = lab.namespace(), lab.namespace(), lab.namespace()
        linked = EndpointSettings(aliases=["site", "shared"], links=["db:database"])
        one = await networks.attach(request(web, "web", endpoints={"front": linked, "back": EndpointSettings()}))
        two = await networks.attach(request(db, "DB", endpoints={"front": EndpointSettings(aliases=["shared"])}))
        await networks.attach(request(outside, "outside", "back"))
        mine, other = one.endpoints["front"], two.endpoints["front"]
        assert await ask(db, "web") == (0, [mine.ip_address])
        assert await ask(db, "WEB.front") == (0, [mine.ip_address])
        assert await ask(db, "site", "AAAA") == (0, [mine.global_ipv6_address])
        assert await ask(db, one.container_id[:12]) == (0, [mine.ip_address])
        assert await ask(web, "database") == (0, [other.ip_address]), "a link is the container's own"
        assert (await ask(db, "database"))[0] == dnsmessage.SERVFAIL
        assert (await ask(outside, "db"))[0] == dnsmessage.SERVFAIL, "names stay on their networks"
        assert await ask(outside, "web") == (0, [one.endpoints["back"].ip_address])
        assert await ask(outside, "web", "AAAA") == (0, []), "no IPv6 is an answer, not an error"
        both = [await ask(web, "shared") for _ in range(2)]
        assert both[0][1] == both[1][1][::-1] and len(both[0][1]) == 2, "round robin"
        reverse = ".".join(reversed(mine.ip_address.split("."))) + ".in-addr.arpa"
        assert await ask(db, reverse, "PTR") == (0, ["web.front."])
        assert (await ask(db, "9.9.18.172.in-addr.arpa", "PTR"))[0] == dnsmessage.NXDOMAIN
        assert await ask(db, "host.docker.internal") == (0, ["172.17.0.1"])
        assert await ask_over_stream(db, "web", "site") == [[mine.ip_address]] * 2
        networks.rename(one.container_id, "renamed")
        assert await ask(db, "renamed") == (0, [mine.ip_address])
        assert (await ask(db, "web"))[0] == dnsmessage.SERVFAIL
        await networks.detach(two.container_id)
        assert await ask(web, "shared") == (0, [mine.ip_address])


async def test_forwarding_stalls_nobody(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarder, "SERVER_SECONDS", 60.0)  # however busy the machine
    (lab.directory / "resolv.conf").write_text("nameserver 127.0.0.53\nsearch example.org\n")
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="front"))
        inside, own = lab.namespace(), lab.namespace()
        host = await upstream(lab.host, "127.0.0.53")
        sandbox = await networks.attach(request(inside, "inside", "front"))
        assert networks.files(sandbox.container_id).resolv_conf.endswith(
            "nameserver 127.0.0.11\nsearch example.org\noptions ndots:0\n"
        )
        assert await ask(inside, "example.com") == (0, ["192.0.2.1"]), "the host's loopback resolver serves"
        waiting = [asyncio.create_task(ask(inside, f"mute{number}", patience=50)) for number in range(50)]
        async with asyncio.timeout(30):
            while not {f"mute{number}" for number in range(50)} <= set(host.asked):
                await asyncio.sleep(0.01)  # until all of them wait
        assert await ask(inside, "example.net") == (0, ["192.0.2.1"])
        assert await ask(inside, "inside") == (0, [sandbox.endpoints["front"].ip_address])
        assert not any(task.done() for task in waiting), "who asks a server that is dead delays nobody"
        for task in waiting:
            task.cancel()
        assert host.asked.count("mute1") == 1
        monkeypatch.setattr(forwarder, "SERVER_SECONDS", 0.2)
        assert await ask(inside, "mute") == (dnsmessage.SERVFAIL, [])
        monkeypatch.undo()
        # A server that was named is asked from the container's own network.
        name_server = lab.namespace()
        server = await networks.attach(request(name_server, "server", "front"))
        address = server.endpoints["front"].ip_address
        theirs = await upstream(name_server, address)
        await networks.attach(request(own, "own", "front", dns=(address,)))
        assert await ask(own, "elsewhere") == (0, ["192.0.2.1"])
        assert theirs.asked == ["elsewhere"]
        for one in (host, theirs):
            one.transport.close()


async def test_of_two_thousand_questions_none_is_lost(lab: Lab) -> None:
    """From ten containers; half of them are forwarded. Nothing is lost. (How many a second: `make bench`.)"""
    (lab.directory / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="front"))
        host = await upstream(lab.host, "127.0.0.53")
        inside = [lab.namespace() for _ in range(10)]
        for number, namespace in enumerate(inside):
            await networks.attach(request(namespace, f"c{number}", "front"))

        async def many(namespace: Namespace) -> list[int]:
            """Two hundred in all, five of them under way at a time."""
            found = []
            for name in ("c3", "example.com") * 20:
                found += [
                    code for code, _ in await asyncio.gather(*(ask(namespace, name, patience=60) for _ in range(5)))
                ]
            return found

        assert await asyncio.gather(*(many(namespace) for namespace in inside)) == [[0] * 200] * 10
        assert len(host.asked) == 1000
        host.transport.close()


async def _fuzz(asking: socket.socket, inside: Namespace, good: bytes) -> None:
    """Mutilated questions, thousands of datagrams and some streams of them."""
    dice = random.Random(7)
    loop = asyncio.get_running_loop()

    def mutilated() -> bytes:
        made = bytearray(good + dice.randbytes(dice.randrange(40)))
        for _ in range(dice.randrange(1, 8)):
            made[dice.randrange(len(made))] = dice.randrange(256)
        return bytes(made[: dice.randrange(1, len(made) + 1)])

    for _ in range(3000):
        await loop.sock_sendto(asking, mutilated(), SERVER)
    for _ in range(30):
        with inside.socket() as stream:
            await loop.sock_connect(stream, SERVER)
            message = mutilated()
            await loop.sock_sendall(stream, len(message).to_bytes(2, "big") + message)


async def test_malformed_messages_do_no_harm(lab: Lab) -> None:
    async with lab.networks() as networks:
        await networks.create(NetworkSpec(name="front"))
        inside = lab.namespace()
        await networks.attach(request(inside, "inside", "front"))
        good = bytes(DNSRecord.question("inside").pack())
        asking = inside.socket(kind=socket.SOCK_DGRAM)
        with asking:
            for cut in range(len(good)):
                asking.sendto(good[:cut], SERVER)
            for bad in (b"", b"\xff" * 600, good[:12] + b"\xc0\x0c\0\1\0\1", good[:2] + b"\x80\0" + good[4:]):
                asking.sendto(bad, SERVER)
            await _fuzz(asking, inside, good)
        assert (await ask(inside, "inside"))[0] == 0
        # Port 53 is the container's own, on all its addresses.
        with inside.socket(kind=socket.SOCK_DGRAM) as datagrams, inside.socket() as stream:
            datagrams.bind(("0.0.0.0", 53))
            stream.bind(("0.0.0.0", 53))
            stream.listen()
            assert (await ask(inside, "inside"))[0] == 0
