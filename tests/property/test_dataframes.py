"""However a connection's frames are cut and joined, each stream's data and all other frames come as they were sent."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.buildkit.dataframes import DataFrames

LARGEST = 1 << 14
DATA, HEADERS, END = 0, 1, 1
Frame = tuple[int, int, int, bytes]
FRAMES = st.lists(
    st.tuples(
        st.sampled_from([DATA, DATA, DATA, HEADERS]), st.sampled_from([0, 0, 0, END]), st.sampled_from([0, 1, 1, 3]),
        st.integers(0, 40) | st.just(LARGEST),
    )
)  # fmt: skip


def packed(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def read(octets: bytes) -> list[Frame]:
    found, at = list[Frame](), 0
    while at < len(octets):
        size = int.from_bytes(octets[at : at + 3], "big")
        assert size <= LARGEST
        found.append((*struct.unpack_from(">BBI", octets, at + 3), octets[at + 9 : at + 9 + size]))
        at += 9 + size
    return found


def meaning(frames: list[Frame]) -> list[Frame]:
    """The same with neighbouring plain data of a stream as one piece."""
    found: list[Frame] = []
    for kind, flags, stream, payload in frames:
        if kind == DATA and not flags and stream:
            if found and found[-1][:3] == (kind, flags, stream):
                payload = found.pop()[3] + payload
            elif not payload:
                continue
        found.append((kind, flags, stream, payload))
    return found


@given(FRAMES, st.integers(1, 2 * LARGEST))
def test_nothing_is_lost_or_reordered(shapes: list[tuple[int, int, int, int]], step: int) -> None:
    sent: list[Frame] = [
        (kind, flags, stream, bytes([number % 256]) * size) for number, (kind, flags, stream, size) in enumerate(shapes)
    ]
    octets = b"".join(packed(*frame) for frame in sent)
    step = max(step, len(octets) // 2000)
    frames = DataFrames()
    joined = b"".join(frames.joined(octets[at : at + step]) for at in range(0, len(octets), step))
    assert meaning(read(joined)) == meaning(sent)


def test_what_came_together_is_one_frame() -> None:
    messages = [b"%04d" % number for number in range(1000)]
    joined = read(DataFrames().joined(b"".join(packed(DATA, 0, 1, one) for one in messages)))
    assert joined == [(DATA, 0, 1, b"".join(messages))]


def test_a_frame_that_nobody_may_send_is_not_waited_for() -> None:
    with pytest.raises(ValueError, match="16385"):
        DataFrames().joined(packed(DATA, 0, 1, bytes(LARGEST + 1))[:9])
