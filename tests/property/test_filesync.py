"""Whatever packets a client sends, a context is what they say, or the transfer is refused; nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampan.build.context import spread
from sampan.build.filetree import FileTree
from sampan.buildkit.contents import Contents
from sampan.buildkit.filesync import transfer
from sampan.buildkit.listing import Listing
from sampan.buildkit.messages import Messages
from sampan.buildkit.proto.fsutil_pb2 import Packet, Stat
from sampan.buildkit.remembered import Remembered
from sampan.engine.config import EngineConfig
from sampan.engine.engine import Engine
from sampan.errors import InvalidArgument

EXAMPLES = 20_000 if os.environ.get("SAMPAN_FUZZ") == "long" else 80
DIRECTORY, SYMLINK, FIFO, SOCKET = 1 << 31, 1 << 27, 1 << 25, 1 << 24
NAMES = st.sampled_from(["a", "b", "c", "..", ".", "", "é", "a\0"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join) | st.sampled_from(["/a", "../a", "a/b", "a/b/c"])
KINDS = st.sampled_from([0o644, 0o4755, DIRECTORY | 0o755, DIRECTORY, SYMLINK | 0o777, FIFO, SOCKET, 1 << 19])
STATS = st.builds(
    Stat, path=PATHS, mode=KINDS, size=st.sampled_from([0, 0, 1, 3, 200_000, -1, 1 << 62]),
    modTime=st.integers(0, 1 << 40), linkname=st.sampled_from(["", "", "a", "b", "/etc/passwd", "../../.."]),
)  # fmt: skip
DATA = st.builds(
    Packet, type=st.just(Packet.PACKET_DATA), ID=st.integers(0, 3),
    data=st.sampled_from([b"", b"", b"x", b"abc", b"y" * 200_000]),
)  # fmt: skip
ODD = st.builds(Packet, type=st.sampled_from([0, 1, 3, 4, 9]), ID=st.integers(0, 4), data=st.binary(max_size=3))


@settings(max_examples=EXAMPLES * 4)
@given(st.lists(STATS, max_size=6))
def test_trees_of_any_names_stay_inside(stats: list[Stat]) -> None:
    listing = Listing()
    try:
        for one in stats:
            listing.add(one)
    except InvalidArgument:
        return
    paths = [file.path for file in listing.tree.below("")]
    assert sorted(paths) == sorted(one.path for one in stats if not one.mode & SOCKET)
    if all(file.size < 1 << 20 for file in listing.files):
        for file in listing.files:
            file.inode.size = 0  # what is in them is another matter
        _write_out(listing.tree)


def _write_out(tree: FileTree) -> None:
    with tempfile.TemporaryDirectory() as outer:
        inner = Path(outer, "tree")
        inner.mkdir()
        spread(tree, str(inner))
        assert os.listdir(outer) == ["tree"]
        assert {str(path.relative_to(inner)) for path in inner.rglob("*")} == {file.path for file in tree.below("")}


class Scripted:
    """A call whose other side has sent all that it will; it arrives in pieces of `step` octets."""

    def __init__(self, packets: list[Packet], step: int) -> None:
        bodies = [packet.SerializeToString() for packet in packets]
        octets = b"".join(struct.pack(">BI", 0, len(body)) + body for body in bodies)
        self._pieces = (octets[at : at + step] for at in range(0, len(octets), step))

    async def arrived(self) -> bytes:
        await asyncio.sleep(0)
        return next(self._pieces, b"")

    async def send(self, octets: bytes) -> None:
        await asyncio.sleep(0)

    async def end(self) -> None:
        await asyncio.sleep(0)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def engine(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    root = tmp_path_factory.mktemp("engine")

    async def opened() -> Engine:
        return Engine(EngineConfig(data_root=f"{root}/data", exec_root=f"{root}/run"))

    made = runner.run(opened())
    yield made
    runner.run(made.close())


async def _run(engine: Engine, call: Scripted) -> dict[str, bytes]:
    async with AsyncExitStack() as stack:
        contents = Contents(engine, Remembered.of(engine, "key", "context", whole=True), stack)
        tree = await transfer(Messages(call, Packet), contents)
        return {
            file.path: b"".join(file.chunks()) for file in tree.below("") if not file.mode & 0o40000
        }  # fmt: skip


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([0, 1, 3, 4]), min_size=1, max_size=4),
    st.lists(DATA | DATA | DATA | ODD, max_size=12),
    st.sampled_from([3, 20, 1 << 14, 1 << 30]),
)
def test_contents_are_what_came(
    runner: asyncio.Runner, engine: Engine, sizes: list[int], packets: list[Packet], step: int
) -> None:
    names = [Stat(path=f"f{number}", mode=0o644, size=size) for number, size in enumerate(sizes)]
    said = [Packet(stat=one) for one in names] + [Packet()]
    expected = dict.fromkeys(range(len(sizes)), b"")
    for packet in packets:
        expected[packet.ID] = expected.get(packet.ID, b"") + packet.data
    try:
        found = runner.run(_run(engine, Scripted(said + packets, step)))
    except InvalidArgument:
        return
    finally:
        assert not [name for name in os.listdir(engine.paths.tmp) if name.startswith("build-")]
    for number, size in enumerate(sizes):
        assert found[f"f{number}"] == (expected[number] if size else b"")
