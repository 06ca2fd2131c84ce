"""bolt files: what dockerd wrote is read, what is damaged is told."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.db.bolt import Bolt
from sampan.errors import DataLoss

SIZE = 4096


def leaf(number: int, pairs: list[tuple[int, bytes, bytes]], *, padded: bool = True) -> bytes:
    head = struct.pack("<QHHI", number, 2, len(pairs), 0)
    elements, data = b"", b""
    for index, (flags, key, value) in enumerate(pairs):
        position = (len(pairs) - index) * 16 + len(data)
        elements += struct.pack("<IIII", flags, position, len(key), len(value))
        data += key + value
    page = head + elements + data
    return page.ljust(SIZE, b"\0") if padded else page


def branch(number: int, children: list[int]) -> bytes:
    elements = b"".join(struct.pack("<IIQ", 16, 0, child) for child in children)
    return (struct.pack("<QHHI", number, 1, len(children), 0) + elements).ljust(SIZE, b"\0")


def meta(number: int, root: int, transaction: int) -> bytes:
    body = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, SIZE, 0, root, 0, 0, 9, transaction)
    return (struct.pack("<QHHI", number, 4, 0, 0) + body).ljust(SIZE, b"\0")


def file() -> bytes:
    inline = struct.pack("<QQ", 0, 0) + leaf(0, [(0, b"small", b"1")], padded=False)
    return b"".join([
        meta(0, 2, 1), meta(1, 3, 2),
        leaf(2, [(0, b"old", b"root")]),
        leaf(3, [(1, b"inline", inline), (1, b"tree", struct.pack("<QQ", 4, 0))]),
        branch(4, [5, 6]), leaf(5, [(0, b"a", b"x")]), leaf(6, [(0, b"b", b"y"), (1, b"nested", inline)]),
    ])  # fmt: skip


def test_buckets() -> None:
    bolt = Bolt(file())
    assert bolt.bucket(b"inline") == {b"small": b"1"}
    assert bolt.bucket(b"tree") == {b"a": b"x", b"b": b"y"}
    assert bolt.bucket(b"nosuch") == {}


def test_a_cycle_ends() -> None:
    data = bytearray(file())
    data[4 * SIZE : 5 * SIZE] = branch(4, [4, 4])
    with pytest.raises(DataLoss, match="not a tree"):
        Bolt(bytes(data)).bucket(b"tree")


@given(st.data())
def test_damage_is_told(data: st.DataObject) -> None:
    damaged = bytearray(file())
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        Bolt(bytes(damaged[: data.draw(st.integers(0, len(damaged)))])).bucket(b"tree")
    except DataLoss:
        pass
