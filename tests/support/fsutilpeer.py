"""The client's half of fsutil's transfers, as buildx has it: gives a directory, takes a tree."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

from grpclib.const import Cardinality, Handler
from grpclib.server import Stream

from sampan.buildkit.filemodes import from_go, to_go
from sampan.buildkit.filesync import METHOD
from sampan.buildkit.proto.filesync_pb2 import BytesMessage
from sampan.buildkit.proto.fsutil_pb2 import Packet, Stat
from sampan.buildkit.sending import METHOD as SEND
from sampan.errors import Conflict, NotFound

PIECE = 32 << 10
PacketStream = Stream[Packet, Packet]


def stat_of(root: Path, path: str, seen: dict[int, str]) -> Stat:
    """What fsutil says of a file."""
    found = os.lstat(root / path)
    made = Stat(path=path, mode=to_go(found.st_mode), uid=found.st_uid, gid=found.st_gid, modTime=found.st_mtime_ns)
    if stat.S_ISLNK(found.st_mode):
        made.linkname = os.readlink(root / path)
    elif stat.S_ISREG(found.st_mode):
        first = seen.setdefault(found.st_ino, path)
        made.size = found.st_size
        made.linkname = first if first != path else ""
    return made


def names(root: Path, below: str = "") -> Iterator[str]:
    """Parents first, sorted."""
    for name in sorted(os.listdir(root / below)):
        path = f"{below}/{name}" if below else name
        yield path
        if stat.S_ISDIR(os.lstat(root / path).st_mode):
            yield from names(root, path)


@dataclass
class Directories:
    """FileSync of directories by name; `asked` are the paths whose contents were asked for, `wanted` the metadata.

    `transfers` has the metadata of all transfers. What is to be left out is sent all the same.
    """

    roots: dict[str, Path]
    asked: list[str] = field(default_factory=list)
    wanted: dict[str, list[str]] = field(default_factory=dict)
    transfers: list[dict[str, list[str]]] = field(default_factory=list)
    workers: int = 4
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __mapping__(self) -> dict[str, Handler]:
        return {METHOD: Handler(self.diff_copy, Cardinality.STREAM_STREAM, Packet, Packet)}

    async def diff_copy(self, stream: PacketStream) -> None:
        assert stream.metadata is not None
        self.wanted = {name: [str(one) for one in stream.metadata.getall(name)] for name in stream.metadata}
        for name in list(self.wanted):
            if f"{name}-encoded" in self.wanted:
                self.wanted[name] = [unquote_plus(text) for text in self.wanted[name]]
        self.transfers.append(self.wanted)
        (name,) = self.wanted["dir-name"]
        if name not in self.roots:
            raise NotFound(f'no access allowed to dir "{name}"')
        await self._send(stream, self.roots[name])

    async def _send(self, stream: PacketStream, root: Path) -> None:
        paths, seen = list(names(root)), dict[int, str]()
        for path in paths:
            await stream.send_message(Packet(type=Packet.PACKET_STAT, stat=stat_of(root, path, seen)))
        await stream.send_message(Packet(type=Packet.PACKET_STAT))
        queue: asyncio.Queue[int] = asyncio.Queue()
        workers = [asyncio.ensure_future(self._work(stream, root, paths, queue)) for _ in range(self.workers)]
        try:
            async for packet in stream:
                if packet.type == Packet.PACKET_FIN:
                    await stream.send_message(Packet(type=Packet.PACKET_FIN))
                    return
                assert packet.type == Packet.PACKET_REQ
                queue.put_nowait(packet.ID)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, stream: PacketStream, root: Path, paths: list[str], queue: asyncio.Queue[int]) -> None:
        while True:
            number = await queue.get()
            self.asked.append(paths[number])
            data = (root / paths[number]).read_bytes()
            pieces = [data[start : start + PIECE] for start in range(0, len(data), PIECE)]
            for piece in (*pieces, b""):
                async with self._sending:
                    await stream.send_message(Packet(type=Packet.PACKET_DATA, ID=number, data=piece))
                await asyncio.sleep(0)  # pieces of several files come between each other


@dataclass
class Script:
    """FileSync of whatever packets: `names` at once, `contents` when something was asked for or all is said to be here.

    `hang`: then nothing more, until the other side ends.
    """

    names: Sequence[Packet]
    contents: Sequence[Packet] = ()
    hang: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def __mapping__(self) -> dict[str, Handler]:
        return {METHOD: Handler(self.diff_copy, Cardinality.STREAM_STREAM, Packet, Packet)}

    async def diff_copy(self, stream: Any) -> None:
        for packet in self.names:
            await stream.send_message(packet)
        if self.names and await stream.recv_message() is None:
            return
        for packet in self.contents:
            await stream.send_message(packet)
        self.reached.set()
        if self.hang:
            await asyncio.Event().wait()


@dataclass
class Target:
    """FileSend into a directory, or of one file into `data`."""

    root: Path | None = None
    data: bytearray = field(default_factory=bytearray)
    told: dict[str, str] = field(default_factory=dict)
    exists: bool = False

    def __mapping__(self) -> dict[str, Handler]:
        kind = Packet if self.root is not None else BytesMessage
        return {SEND: Handler(self.diff_copy, Cardinality.STREAM_STREAM, kind, kind)}

    async def diff_copy(self, stream: Any) -> None:
        self.told = {name: str(stream.metadata[name]) for name in stream.metadata}
        if self.exists:
            raise Conflict("target already exists")
        if self.root is not None:
            await self._receive(stream, self.root)
            return
        async for message in stream:
            self.data += message.data

    async def _receive(self, stream: PacketStream, root: Path) -> None:
        stats: list[Stat] = []
        while (packet := await stream.recv_message()) is not None and packet.HasField("stat"):
            stats.append(packet.stat)
        assert [one.path for one in stats] == sorted((one.path for one in stats), key=lambda path: path.split("/"))
        for number, one in enumerate(stats):
            kind = stat.S_IFMT(from_go(one.mode))
            if kind == stat.S_IFDIR:
                (root / one.path).mkdir()
            elif kind == stat.S_IFLNK:
                (root / one.path).symlink_to(one.linkname)
            elif one.linkname:
                os.link(root / one.linkname, root / one.path)
            else:
                (root / one.path).touch()
                await stream.send_message(Packet(type=Packet.PACKET_REQ, ID=number))
        regular = {number for number, one in enumerate(stats) if stat.S_ISREG(from_go(one.mode)) and not one.linkname}
        files = {number: bytearray() for number in regular}
        pending = set(regular)
        while pending:
            packet = await stream.recv_message()
            assert packet is not None and packet.type == Packet.PACKET_DATA
            files[packet.ID] += packet.data
            if not packet.data:
                pending.remove(packet.ID)
                (root / stats[packet.ID].path).write_bytes(files[packet.ID])
                assert len(files[packet.ID]) == stats[packet.ID].size
        for one in reversed(stats):
            if not stat.S_ISLNK(from_go(one.mode)):
                os.chmod(root / one.path, stat.S_IMODE(from_go(one.mode)))
            os.utime(root / one.path, ns=(one.modTime, one.modTime), follow_symlinks=False)
        await stream.send_message(Packet(type=Packet.PACKET_FIN))
        packet = await stream.recv_message()
        assert packet is not None and packet.type == Packet.PACKET_FIN
