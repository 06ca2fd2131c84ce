from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.rpc import framing, messages


@given(st.lists(st.integers(0, 3 * framing.PACKET), max_size=4))
def test_messages_survive_their_packets(sizes: list[int]) -> None:
    assembler = framing.Assembler()
    for size in sizes:
        payload = bytes(index & 0xFF for index in range(size))
        *first, last = framing.split(payload)
        assert all(assembler.feed(packet) is None for packet in first)
        assert assembler.feed(last) == payload


@pytest.mark.parametrize("packet", [b"", b"\0\0", b"\xff\xff\xff\xff", b"\0\0\0\1ab"])
def test_a_broken_packet_is_refused(packet: bytes) -> None:
    with pytest.raises(framing.ProtocolError):
        framing.Assembler().feed(packet)


def test_an_oversized_message_is_refused() -> None:
    with pytest.raises(framing.ProtocolError):
        framing.split(bytes(framing.LIMIT + 1))


def test_requests_keep_their_type_and_fields() -> None:
    request = messages.Attach(serial=7, exec_id="e", stdin=True)
    assert messages.decode(messages.encode(request)) == request
    status = messages.Status(serial=1, phase="stopped", exit=messages.Exited(status=3), execs={"e": 5})
    assert messages.decode(messages.encode(status)) == status


def test_an_oci_value_is_taken_unread() -> None:
    spec = {"process": {"args": ["a", "ü"]}}
    text = json.dumps(spec)
    sent = messages.encode(messages.Create(bundle="/b", state_dir="/s", cgroup="/c", spec=text))
    received = messages.decode(sent)
    assert isinstance(received, messages.Create)
    assert json.loads(received.spec) == spec
    bare = messages.decode(messages.encode(messages.Create(bundle="/b", state_dir="/s", cgroup="/c")))
    assert isinstance(bare, messages.Create)
    assert bare.spec == ""


@pytest.mark.parametrize("octets", [b"", b"{}", b"[1]", b'{"t":"Nothing"}', b'{"t":"Create","log":3}', b"\xff"])
def test_what_is_no_message_is_refused(octets: bytes) -> None:
    with pytest.raises(framing.ProtocolError):
        messages.decode(octets)
