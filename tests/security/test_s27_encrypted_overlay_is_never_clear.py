"""S27: an encrypted overlay never falls back to clear text, neither what is sent nor what is taken."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from sampan.errors import InvalidArgument, NotImplementedHere
from sampan.linux.xfrm import State, Xfrm, add_state, delete_state
from sampan.network.encryption import ENCRYPTED_PORT, Encryption, Protected, state
from sampan.network.spec import IPAM, IPAMPool, NetworkSpec

from ..support.netlab import REFUSAL, Capture, Lab, address, call, exchange, server
from ..support.overlaylab import Machine, bulk, machines

SECRET = "a secret of the test's own"
HERE, THERE = ip_address("10.98.0.1"), ip_address("10.98.0.2")
SPEC = NetworkSpec(
    name="wide", driver="overlay", ipam=IPAM(config=[IPAMPool(subnet="10.77.0.0/24")]),
    options={"peers": "10.98.0.1,10.98.0.2", "encrypted": "", "psk": SECRET},
)  # fmt: skip


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    try:
        yield made
    finally:
        made.close()


def kernel_has_esp() -> bool:
    """In the namespace that the thread is in."""
    probe = State(HERE, THERE, 0x100, 0, bytes(32), bytes(32))
    try:
        opened = Xfrm()
    except OSError:
        return False
    try:
        opened.request(add_state(probe))
        opened.request(delete_state(probe))
    except OSError:
        return False
    finally:
        opened.close()
    return True


def esp_only(frames: list[bytes]) -> bool:
    """Between the hosts: nothing but ESP, and nothing that can be read."""
    between = [frame for frame in frames if frame[12:14] == b"\x08\0" and frame[26:29] == b"\x0a\x62\0"]
    return bool(between) and all(frame[23] == socket.IPPROTO_ESP and b"legible" not in frame for frame in between)


async def test_s27_what_is_between_the_hosts_is_esp_or_nothing(lab: Lab) -> None:
    if not kernel_has_esp():
        pytest.skip("this kernel has no ESP")
    async with AsyncExitStack() as stack:
        one, two = await machines(lab, stack, 2)
        for machine in (one, two):
            with machine.namespace.inside():
                made = await machine.networks.create(SPEC)
            assert SECRET not in msgspec.json.encode(made.options).decode(), "the secret is not shown"
        (left, first), (right, second) = await one.run("c1"), await two.run("c2")
        wire = Capture(one.namespace)
        async with server(left, 80):
            assert await call(right, address(first, "wide"), 80) == address(second, "wide")
            assert await bulk(right, address(first, "wide")) == 300_000, "whole segments fit into the tunnel"
        assert esp_only(wire.frames())
        # The keys are gone on one side: then there is silence, not clear text.
        with one.namespace.inside():
            xfrm = Xfrm()
            xfrm.forget(*map(delete_state, xfrm.states()))
            xfrm.close()
        async with server(right, 81):
            assert await call(left, address(second, "wide"), 81, REFUSAL) in ("TimeoutError", "OSError")
        frames = [frame for frame in wire.frames() if frame[23:24] == bytes((socket.IPPROTO_UDP,))]
        assert not frames
        wire.close()
        # A daemon that comes back sets them again.
        await one.networks.close()
        one.db.close()
        await one.open(lab.directory)
        assert one.networks.warnings == []
        with one.namespace.inside():
            xfrm = Xfrm()
            assert len(xfrm.states()) == 2
            await one.networks.remove("wide")
            assert xfrm.policies() == 0 and xfrm.states() == []
            xfrm.close()


async def test_s27_without_esp_there_is_no_network(lab: Lab) -> None:
    if kernel_has_esp():
        pytest.skip("this kernel has ESP")
    async with AsyncExitStack() as stack:
        (machine,) = await machines(lab, stack, 1)
        await _is_refused(machine)


async def _is_refused(machine: Machine) -> None:
    with machine.namespace.inside():
        with pytest.raises(NotImplementedHere, match=r"refused rather than sent in clear: the kernel does not do ESP"):
            await machine.networks.create(SPEC)
        assert not [link for link in machine.networks._route.links() if link.kind in ("vxlan", "bridge")
                    and link.name != "sampan0"]  # fmt: skip
        xfrm = Xfrm()
        assert xfrm.policies() == 0, "nothing is left of it"
        xfrm.close()
        assert machine.networks.list({"driver": ["overlay"]}) == []


async def test_s27_policies_alone_keep_clear_text_out(lab: Lab) -> None:
    """Whether or not the kernel has ESP: without keys, the ports of the network are shut in both directions."""
    other = lab.neighbour()
    here, there = ip_address("10.99.0.1"), ip_address("10.99.0.2")
    encryption = Encryption()
    wanted = Protected(here, ENCRYPTED_PORT, SECRET, frozenset({there}))
    try:
        encryption.protect("network", wanted)
    except NotImplementedHere:
        pass  # the barrier stands all the same
    listening = lab.host.socket(kind=socket.SOCK_DGRAM)
    wire = Capture(other)
    with listening, other.socket(kind=socket.SOCK_DGRAM) as stranger:
        listening.bind(("10.99.0.1", ENCRYPTED_PORT))
        for port in (ENCRYPTED_PORT, ENCRYPTED_PORT + 1):
            for target in ("10.99.0.2", "10.99.0.77"):
                with lab.host.socket(kind=socket.SOCK_DGRAM) as sending:
                    try:
                        sending.sendto(b"legible", (target, port))
                    except OSError:
                        pass  # refused at once, or dropped
        assert await exchange(stranger, ("10.99.0.1", ENCRYPTED_PORT), b"forged", REFUSAL) == b""
        with pytest.raises(BlockingIOError):
            listening.recv(100)
    assert not [frame for frame in wire.frames() if b"legible" in frame]
    wire.close()
    encryption.release("network")
    xfrm = Xfrm()
    assert xfrm.policies() == 0
    xfrm.close()
    encryption.close()


def test_s27_an_old_key_is_forgotten(lab: Lab) -> None:
    if not kernel_has_esp():
        pytest.skip("this kernel has no ESP")
    others, xfrm = State(HERE, THERE, 0x100, 0, bytes(32), bytes(32)), Xfrm()
    xfrm.request(add_state(others))
    for secret in (SECRET, SECRET + " that is new"):
        run = Encryption()
        run.protect("network", Protected(HERE, ENCRYPTED_PORT, secret, frozenset({THERE})))
        run.close()
        kept = {state(HERE, THERE, ENCRYPTED_PORT, secret).spi, state(THERE, HERE, ENCRYPTED_PORT, secret).spi}
        assert {one.spi for one in xfrm.states()} == {others.spi, *kept}
    xfrm.close()


def test_s27_keys_differ_by_direction_port_and_secret() -> None:
    keys = [state(HERE, THERE, 4794, SECRET), state(THERE, HERE, 4794, SECRET), state(HERE, THERE, 4796, SECRET),
            state(HERE, THERE, 4794, SECRET + ".")]  # fmt: skip
    assert state(HERE, THERE, 4794, SECRET) == keys[0], "both hosts come to the same"
    assert len({one.cipher_key for one in keys} | {one.authentication_key for one in keys}) == 8
    assert len({replace(one, cipher_key=b"", authentication_key=b"") for one in keys}) == 4
    assert all(one.spi > 255 for one in keys)


@pytest.mark.parametrize(
    ("options", "text"),
    [({"psk": ""}, "need a secret of 16 bytes"), ({"psk": "short"}, "need a secret of 16 bytes"),
     ({"psk-file": "/does/not/exist"}, "cannot be read"), ({"psk-file": "/x", "psk": SECRET}, "exclude each other")],
)  # fmt: skip
async def test_s27_without_a_secret_there_is_no_network(lab: Lab, options: dict[str, str], text: str) -> None:
    lab.neighbour()
    given = {"peers": "10.99.0.1,10.99.0.2", "encrypted": "", **options}
    async with lab.networks() as networks:
        with pytest.raises(InvalidArgument, match=text):
            await networks.create(msgspec.structs.replace(SPEC, options=given))
        assert not [link for link in networks._route.links() if link.kind == "vxlan"]


async def test_s27_a_port_is_encrypted_or_it_is_not(lab: Lab) -> None:
    lab.neighbour()
    plain = NetworkSpec(name="plain", driver="overlay", ipam=IPAM(config=[IPAMPool(subnet="10.78.0.0/24")]),
                        options={"peers": "10.99.0.1,10.99.0.2", "port": str(ENCRYPTED_PORT + 1)})  # fmt: skip
    async with lab.networks() as networks:
        await networks.create(plain)
        given = {"peers": "10.99.0.1,10.99.0.2", "encrypted": "", "psk": SECRET}
        with pytest.raises(InvalidArgument, match="used by an overlay network with other encryption"):
            await networks.create(msgspec.structs.replace(SPEC, options=given))
        await networks.remove("plain")
