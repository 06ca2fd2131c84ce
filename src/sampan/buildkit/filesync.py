"""A context from a client's session: `FileSync/DiffCopy`, fsutil's packets (docs/buildkit.md).

    client                                            here
    STAT, STAT, …, STAT without stat ───────────────▶ entries: names and metadata
    ◀─────────────────────────── REQ number, number …  those whose contents are not here
    DATA number, bytes … DATA number, nothing ──────▶ written where their size says they begin; four files at a time
    ◀──────────────────────────────────────────── FIN
    FIN, end of the stream ─────────────────────────▶

What is here is what the last context of the same shared key and name had at a path with the same metadata, as with
BuildKit: contents lie in the context store by their digest, `remembered.py` knows the digests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..build.filetree import FileTree
from ..errors import InvalidArgument
from .callee import encoded, opened
from .contents import Contents
from .listing import File, Listing, refuse
from .messages import CallOctets, Messages
from .proto.fsutil_pb2 import Packet
from .remembered import Remembered
from .sessions import Session

if TYPE_CHECKING:
    from ..engine.engine import Engine

METHOD: Final = "/moby.filesync.v1.FileSync/DiffCopy"
Report = Callable[[int], None]


@dataclass(frozen=True)
class Local:
    """A directory of the client's by the name that it gave it, and which of its files are wanted."""

    name: str = "context"
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    follow: Sequence[str] = ()

    def metadata(self) -> list[tuple[str, str]]:
        return encoded(
            {"dir-name": [self.name], "include-patterns": self.include, "exclude-patterns": self.exclude,
             "followpaths": self.follow}
        )  # fmt: skip


async def receive(
    engine: Engine, session: Session, local: Local, stack: AsyncExitStack, report: Report | None = None
) -> FileTree:
    """The files of a client's directory; the tree is good until `stack` ends. `report` gets the bytes so far."""
    remembered = Remembered.of(engine, session.shared_key, local.name, whole=not (local.include or local.follow))
    async with opened(session, METHOD, Packet, Packet, local.metadata()) as stream:
        packets = Messages(CallOctets(stream), Packet, report or (lambda _: None))
        return await transfer(packets, Contents(engine, remembered, stack))


async def transfer(packets: Messages[Packet], contents: Contents) -> FileTree:
    """One transfer over a call that is open."""
    moving = _Transfer(packets)
    listing = await moving.listing()
    missing = contents.recall(listing.files)
    if missing:
        await moving.fill(contents, missing)
    await moving.finish()
    contents.keep(listing.files)
    return listing.tree


class _Transfer:
    """The packets of one transfer."""

    def __init__(self, packets: Messages[Packet]) -> None:
        self._packets = packets

    async def _next(self) -> Packet:
        packet = await self._packets.next()
        if packet is None:
            raise InvalidArgument("the client ended a transfer of files early")
        if packet.type == Packet.PACKET_ERR:
            raise InvalidArgument(f"error from sender: {packet.data.decode(errors='replace')}")
        return packet

    async def listing(self) -> Listing:
        """All names."""
        listing = Listing()
        while True:
            packet = await self._next()
            if packet.type != Packet.PACKET_STAT:
                refuse("contents came before the names had ended")
            if not packet.HasField("stat"):
                return listing
            listing.add(packet.stat)

    async def fill(self, contents: Contents, missing: Sequence[File]) -> None:
        """Ask for contents and take them in, in whatever order they come."""
        asking = asyncio.ensure_future(self._ask(missing))
        pending = contents.expect(missing)
        try:
            while pending:
                packet = await self._next()
                arriving = pending.get(packet.ID)
                if packet.type != Packet.PACKET_DATA or arriving is None:
                    refuse("contents came that nobody asked for")
                if packet.data:
                    arriving.write(packet.data)
                else:
                    pending.pop(packet.ID).end()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask(self, missing: Sequence[File]) -> None:
        await self._packets.send(Packet(type=Packet.PACKET_REQ, ID=file.number) for file in missing)

    async def finish(self) -> None:
        """Say that all is here, and wait for the client's end."""
        await self._packets.send([Packet(type=Packet.PACKET_FIN)])
        await self._packets.end()
        while (packet := await self._packets.next()) is not None:
            if packet.type == Packet.PACKET_DATA:
                refuse("contents came that nobody asked for")
