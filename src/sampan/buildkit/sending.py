"""What a build gave, to a directory or a file of its client's: `FileSend/DiffCopy`.

    here                                             client
    STAT … STAT without stat ──────────────────────▶ makes directories and links
    ◀─────────────────────────────────── REQ number  for each regular file
    DATA number, bytes … DATA number, nothing ─────▶
    ◀─────────────────────────────────────────── FIN
    FIN, end of the stream ────────────────────────▶

A single file is its bytes in messages, and the end of the stream.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Mapping
from itertools import count, islice
from typing import Final

from ..build.sources import SourceFile, SourceTree
from ..cas.threads import run_in_thread
from ..engine.bodies import in_threads
from ..errors import InvalidArgument
from .callee import next_message, opened
from .filemodes import from_go, to_go
from .messages import CallOctets, Messages
from .proto.filesync_pb2 import BytesMessage
from .proto.fsutil_pb2 import Packet, Stat
from .sessions import Session

Report = Callable[[int], None]
METHOD: Final = "/moby.filesync.v1.FileSend/DiffCopy"
_PIECE: Final = 1 << 20
"""Bytes of one message: Go's gRPC takes 4 MiB at most."""
_AT_ONCE: Final = 512


def _exporter(exporter: str) -> list[tuple[str, str]]:
    return [("buildkit-attachable-exporter-id", exporter)] if exporter else []


async def send_stream(
    session: Session, chunks: AsyncIterator[bytes], metadata: Mapping[str, str] | None = None, exporter: str = ""
) -> None:
    """Bytes into a file that the client has chosen; Conflict where it does not want them any more."""
    described = [(f"exporter-md-{name}", value) for name, value in (metadata or {}).items() if value]
    async with opened(session, METHOD, BytesMessage, BytesMessage, described + _exporter(exporter)) as stream:
        async for chunk in chunks:
            for start in range(0, len(chunk), _PIECE):
                await stream.send_message(BytesMessage(data=chunk[start : start + _PIECE]))
        await stream.end()
        while await next_message(stream) is not None:
            pass


async def send_tree(
    session: Session, trees: Mapping[str, SourceTree], exporter: str = "", report: Report | None = None
) -> None:
    """Trees into a directory of the client's, each below its name; one without a name is the directory itself.

    `report` gets the bytes so far.
    """
    async with opened(session, METHOD, Packet, Packet, _exporter(exporter)) as stream:
        sender = _Sender(Messages(CallOctets(stream), Packet), report or (lambda _: None))
        await sender.list(trees)
        await sender.answer()


class _Sender:
    """The packets of one transfer: names first, then contents as they are asked for."""

    def __init__(self, packets: Messages[Packet], report: Report) -> None:
        self._packets = packets
        self._report = report
        self._sent = 0
        self._files: dict[int, tuple[SourceTree, str]] = {}

    async def list(self, trees: Mapping[str, SourceTree]) -> None:
        names, numbers = _names(trees), count()
        while batch := await run_in_thread(lambda: [*islice(names, _AT_ONCE)]):
            for (found, tree, path), number in zip(batch, numbers, strict=False):  # numbers do not end
                if stat.S_ISREG(from_go(found.mode)) and not found.linkname:
                    self._files[number] = tree, path
            await self._give(*(Packet(type=Packet.PACKET_STAT, stat=found) for found, _, _ in batch))
        await self._packets.send([Packet(type=Packet.PACKET_STAT)])

    async def answer(self) -> None:
        while (packet := await self._packets.next()) is not None:
            if packet.type == Packet.PACKET_ERR:
                raise InvalidArgument(f"error from receiver: {packet.data.decode(errors='replace')}")
            if packet.type == Packet.PACKET_FIN:
                await self._packets.send([packet])
                await self._packets.end()
                while await self._packets.next() is not None:
                    pass
                return
            await self._send(packet)
        raise InvalidArgument("the client ended a transfer of files early")

    async def _send(self, request: Packet) -> None:
        tree, path = self._files.pop(request.ID, (None, ""))
        if request.type != Packet.PACKET_REQ or tree is None:
            raise InvalidArgument(f"the client asked for no file: {request.ID}")
        async for chunk in in_threads(tree.file(path).chunks()):
            await self._give(Packet(type=Packet.PACKET_DATA, ID=request.ID, data=chunk))
        await self._give(Packet(type=Packet.PACKET_DATA, ID=request.ID))

    async def _give(self, *packets: Packet) -> None:
        await self._packets.send(packets)
        self._sent += sum(packet.ByteSize() for packet in packets)
        self._report(self._sent)


def _names(trees: Mapping[str, SourceTree]) -> Iterator[tuple[Stat, SourceTree, str]]:
    """What is said of each name, and where its contents are; parents first, sorted."""
    for name, tree in sorted(trees.items()):
        if name:
            yield Stat(path=name, mode=to_go(stat.S_IFDIR | 0o755), modTime=time.time_ns()), tree, ""
        first: dict[Hashable, str] = {}
        for file in tree.below(""):
            path = f"{name}/{file.path}" if name else file.path
            yield _stat(file, path, tree, first), tree, file.path


def _stat(file: SourceFile, path: str, tree: SourceTree, first: dict[Hashable, str]) -> Stat:
    try:
        made = Stat(path=path, mode=to_go(file.mode), modTime=file.mtime_ns, xattrs=file.xattrs())
        if stat.S_ISLNK(file.mode):
            made.linkname = file.link()
    except ValueError as error:  # protobuf's strings are UTF-8
        raise InvalidArgument(f"{path!r} cannot be sent: its name is not UTF-8") from error
    if tree.keep_owner:
        made.uid, made.gid = file.uid, file.gid
    if stat.S_ISREG(file.mode):
        made.size = file.size
        if file.identity is not None and (again := first.setdefault(file.identity, path)) != path:
            made.linkname = again
    elif stat.S_ISCHR(file.mode) or stat.S_ISBLK(file.mode):
        made.devmajor, made.devminor = os.major(file.rdev), os.minor(file.rdev)
    return made
