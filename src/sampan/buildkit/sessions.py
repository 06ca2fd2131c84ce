"""Sessions: connections on which a client offers services to its builds (docs/buildkit.md).

A build names its session by id and may come before it. When a session's connection ends, its builds end.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from grpclib.const import Cardinality, Handler
from grpclib.server import Stream

from ..errors import Conflict, InvalidArgument, NotFound, Unavailable
from .proto.session_pb2 import BytesMessage
from .transport import Adopt, Calls, Link, client_link

if TYPE_CHECKING:
    from ..engine.engine import Engine

PATIENCE: Final = 60.0
"""Seconds that a build waits for its session."""
_PREFIX: Final = "x-docker-expose-session-"
_CHUNK: Final = 64 << 10


@dataclass(frozen=True)
class Exposed:
    """What a client says of its session: `methods` are gRPC paths in lower case."""

    id: str
    name: str
    shared_key: str
    methods: frozenset[str]

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Exposed:
        """From header fields, names in lower case, repeated ones joined with a comma."""
        identity = fields.get(f"{_PREFIX}uuid", "")
        if not identity:
            raise InvalidArgument("the session has no id")
        methods = fields.get(f"{_PREFIX}grpc-method", "").lower().split(",")
        return cls(
            identity, fields.get(f"{_PREFIX}name", ""), fields.get(f"{_PREFIX}sharedkey", ""),
            frozenset(method.strip() for method in methods),
        )  # fmt: skip


class Session:
    """One that is there; `channel` calls its client."""

    def __init__(self, exposed: Exposed) -> None:
        self._exposed = exposed
        self._link = client_link()
        self.id = exposed.id
        self.name = exposed.name
        self.shared_key = exposed.shared_key
        self.channel = Calls(self._link)

    def supports(self, method: str) -> bool:
        """Whether the client offers a method, `/package.Service/Method`."""
        return method.lower() in self._exposed.methods

    async def begin(self, adopt: Adopt) -> None:
        """Take the connection over."""
        await adopt(self._link)

    async def ended(self) -> None:
        """Wait for the connection's end."""
        await self._link.lost.wait()


class Sessions:
    """Those of one engine."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._taken: set[str] = set()
        """Ids of those that are here or about to be."""
        self._appeared = asyncio.Condition()

    async def serve(self, exposed: Exposed, adopt: Adopt) -> None:
        """Offer a session to builds for as long as its connection lasts."""
        if exposed.id in self._taken:
            raise Conflict(f"session {exposed.id} already exists")
        self._taken.add(exposed.id)
        session = Session(exposed)
        try:
            await session.begin(adopt)
            async with self._appeared:
                self._sessions[exposed.id] = session
                self._appeared.notify_all()
            await session.ended()
        finally:
            self._sessions.pop(exposed.id, None)
            self._taken.remove(exposed.id)
            session.channel.close()

    async def get(self, identity: str) -> Session:
        """The session of that id, which is waited for; NotFound when it does not come."""
        try:
            async with asyncio.timeout(PATIENCE), self._appeared:
                await self._appeared.wait_for(lambda: identity in self._sessions)
                return self._sessions[identity]
        except TimeoutError:
            raise NotFound(f"no active session for {identity}: context deadline exceeded") from None

    @asynccontextmanager
    async def using(self, identity: str) -> AsyncIterator[Session]:
        """The session of that id; the block is cancelled and Unavailable raised when the session ends first."""
        session = await self.get(identity)
        task = asyncio.current_task()
        assert task is not None
        before, inside, ended = task.cancelling(), True, False

        def end(done: asyncio.Future[None]) -> None:
            nonlocal ended
            if inside and not done.cancelled():  # the loop may call this when the block has just been left
                ended = True
                task.cancel()

        watch = asyncio.ensure_future(session.ended())
        watch.add_done_callback(end)
        try:
            yield session
        except asyncio.CancelledError:
            if ended and task.cancelling() <= before + 1:
                raise Unavailable(f"the client's session {identity} has ended") from None
            raise
        finally:
            inside = False
            watch.cancel()
            if ended:
                task.uncancel()


class SessionService:
    """`Control/Session`: a session within a gRPC stream, for clients that have no `POST /session`."""

    def __init__(self, engine: Engine) -> None:
        self._sessions = sessions_of(engine)

    def __mapping__(self) -> dict[str, Handler]:
        return {
            "/moby.buildkit.v1.Control/Session": Handler(
                self.session, Cardinality.STREAM_STREAM, BytesMessage, BytesMessage
            )
        }

    async def session(self, stream: Stream[BytesMessage, BytesMessage]) -> None:
        """Octets of the inner connection in messages, both ways, until one side ends."""
        assert stream.metadata is not None
        metadata = {name: ",".join(map(str, stream.metadata.getall(name))) for name in stream.metadata}
        await stream.send_initial_metadata()
        outer, inner = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=outer)

        async def adopt(link: Link) -> None:
            loop = asyncio.get_running_loop()
            await loop.create_unix_connection(lambda: link, sock=inner)

        try:
            async with asyncio.TaskGroup() as group:
                pumps = [group.create_task(_inward(stream, writer)), group.create_task(_outward(reader, stream))]
                await self._sessions.serve(Exposed.of(metadata), adopt)
                for pump in pumps:
                    pump.cancel()
        finally:
            writer.close()


async def _inward(stream: Stream[BytesMessage, BytesMessage], writer: asyncio.StreamWriter) -> None:
    async for message in stream:
        writer.write(message.data)
        await writer.drain()
    writer.close()


async def _outward(reader: asyncio.StreamReader, stream: Stream[BytesMessage, BytesMessage]) -> None:
    while data := await reader.read(_CHUNK):
        await stream.send_message(BytesMessage(data=data))


_SESSIONS: WeakKeyDictionary[Engine, Sessions] = WeakKeyDictionary()


def sessions_of(engine: Engine) -> Sessions:
    """The engine's sessions."""
    return _SESSIONS.setdefault(engine, Sessions())
