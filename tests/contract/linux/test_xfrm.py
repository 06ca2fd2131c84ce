"""IPsec requests as iproute2 reads them back from the kernel."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from sampan.linux.namespaces import CLONE_NEWNET, setns, unshare
from sampan.linux.xfrm import (
    XFRM_POLICY_IN,
    XFRM_POLICY_OUT,
    Selector,
    State,
    Xfrm,
    add_state,
    delete_policy,
    delete_state,
    set_policy,
)

FOUR = State(ip_address("10.0.0.1"), ip_address("10.0.0.2"), 0x12345678, 77, b"k" * 32, b"a" * 32)
SIX = State(ip_address("fd00::1"), ip_address("fd00::2"), 0x12345679, 77, b"k" * 32, b"a" * 32)


@pytest.fixture
def xfrm() -> Iterator[Xfrm]:
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    unshare(CLONE_NEWNET)
    try:
        try:
            opened = Xfrm()
        except OSError:
            pytest.skip("this kernel has no IPsec")
        yield opened
        opened.close()
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)


def shown(what: str, *flags: str) -> str:
    done = subprocess.run(["ip", *flags, "xfrm", what], check=True, capture_output=True, text=True)
    found = re.sub(r"\s+", " ", done.stdout).replace(" ptype main", "")
    # Names of protocols are there where /etc/protocols is.
    return found.replace("proto 17 ", "proto udp ").replace("proto 50 ", "proto esp ")


@pytest.mark.parametrize("state", [FOUR, SIX])
def test_policies(xfrm: Xfrm, state: State) -> None:
    source, destination, version = state.source, state.destination, state.source.version
    one = Selector(source, destination, version, destination_port=4794)
    everyone = Selector(None, source, version, source_port=4795)
    for _ in range(2):
        xfrm.request(set_policy(one, XFRM_POLICY_OUT, state, 7), set_policy(everyone, XFRM_POLICY_IN, None, 9))
    assert xfrm.policies() == 2, "one that is there is replaced"
    text = shown("policy")
    length, nothing = source.max_prefixlen, "0.0.0.0/0" if version == 4 else "::/0"
    assert f"src {source}/{length} dst {destination}/{length} proto udp dport 4794 dir out priority 7" in text
    assert f"tmpl src {source} dst {destination} proto esp spi {state.spi:#x} reqid 77 mode transport" in text
    assert f"src {nothing} dst {source}/{length} proto udp sport 4795 dir in action block priority 9" in text
    xfrm.forget(*[delete_policy(one, XFRM_POLICY_OUT), delete_policy(everyone, XFRM_POLICY_IN)] * 2)
    assert xfrm.policies() == 0


@pytest.mark.parametrize("state", [FOUR, SIX])
def test_states(xfrm: Xfrm, state: State) -> None:
    try:
        xfrm.request(add_state(state))
    except OSError as error:
        # The kernel has read the whole request when it looks for ESP, and then for the algorithms.
        assert error.errno in (errno.EPROTONOSUPPORT, errno.ENOENT)
        assert xfrm.states() == []
        return
    assert xfrm.states() == [replace(state, cipher_key=b"", authentication_key=b"")]
    text = shown("state")
    assert f"src {state.source} dst {state.destination} proto esp spi {state.spi:#x} reqid 77 mode transport" in text
    assert f"auth-trunc hmac(sha256) 0x{b'a'.hex() * 32} 128" in text and f"enc cbc(aes) 0x{b'k'.hex() * 32}" in text
    assert "replay-window 0" in text
    assert "oseq-may-wrap" in shown("state", "-s"), "iproute2 has it among the statistics"
    xfrm.forget(*[delete_state(state)] * 2)
    assert xfrm.states() == []
