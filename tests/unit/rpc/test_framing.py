from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.rpc import framing, messages
from sampan.runtime import CreateContainer


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
    assert messages.decode_for_shim(messages.encode(request)) == request
    status = messages.Status(serial=1, phase="stopped", exit=messages.Exited(status=3), execs={"e": 5})
    assert messages.decode_from_shim(messages.encode(status)) == status


def test_an_oci_value_is_taken_unread() -> None:
    spec = {"process": {"args": ["a", "ü"]}}
    sent = messages.encode(CreateContainer(bundle="/b", state_dir="/s", cgroup="/c", spec=spec))
    received = messages.decode_for_shim(sent)
    assert isinstance(received, messages.Create)
    assert msgspec.msgpack.decode(received.spec) == spec
    bare = messages.decode_for_shim(messages.encode(CreateContainer(bundle="/b", state_dir="/s", cgroup="/c")))
    assert isinstance(bare, messages.Create)
    assert bytes(bare.spec) == b""
