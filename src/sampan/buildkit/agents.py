"""A client's ssh agents, seen by steps of a build as sockets here.

step ── connect ──▶ listening socket ── accept ──▶ SSH/ForwardAgent, a stream for each connection
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable
from contextlib import AsyncExitStack
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from grpclib.client import Stream

from ..build.agents import AgentSocket
from ..errors import NotImplementedHere, SampanError
from .callee import ask, next_message, opened
from .proto.sshforward_pb2 import BytesMessage, CheckAgentRequest, CheckAgentResponse
from .sessions import Session

if TYPE_CHECKING:
    from ..engine.engine import Engine

CHECK: Final = "/moby.sshforward.v1.SSH/CheckAgent"
FORWARD: Final = "/moby.sshforward.v1.SSH/ForwardAgent"
_CHUNK: Final = 32 << 10

log = logging.getLogger("sampan.buildkit")


async def agents(engine: Engine, session: Session, ids: Iterable[str], stack: AsyncExitStack) -> dict[str, str]:
    """Sockets of the client's agents by id; they are there until `stack` ends. Those that it has not are left out."""
    found: dict[str, str] = {}
    for identity in ids:
        if await _has(session, identity):
            forwarder = _Forwarder(f"{engine.paths.exec_root}/builds/{token_hex(8)}/agent", session, identity)
            stack.push_async_callback(forwarder.close)
            found[identity] = forwarder.path
    return found


async def _has(session: Session, identity: str) -> bool:
    try:
        await ask(session, CHECK, CheckAgentRequest(ID=identity), CheckAgentResponse)
    except SampanError as error:
        if not isinstance(error, NotImplementedHere):
            log.info("no ssh agent %s: %s", identity, error)
        return False
    return True


class _Forwarder:
    """Joins each connection to a socket with a stream of its own."""

    def __init__(self, path: str, session: Session, identity: str) -> None:
        self.path = path
        self._socket = AgentSocket(path)
        self._session = session
        self._identity = identity
        self._joined: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.ensure_future(self._accept())

    async def _accept(self) -> None:
        while True:
            task = asyncio.ensure_future(self._join(await self._socket.accept()))
            self._joined.add(task)
            task.add_done_callback(self._joined.discard)

    async def _join(self, connection: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        metadata = [("buildkit.ssh.id", self._identity)]
        try:
            async with opened(self._session, FORWARD, BytesMessage, BytesMessage, metadata) as stream:
                asking = asyncio.ensure_future(_inward(reader, stream))
                try:
                    await _outward(stream, writer)
                finally:
                    asking.cancel()
                    await asyncio.gather(asking, return_exceptions=True)
        except (SampanError, ConnectionError) as error:
            log.info("forwarding the ssh agent %s: %s", self._identity, error)
        finally:
            writer.close()

    async def close(self) -> None:
        """Accept no more; connections under way end."""
        tasks = [self._accepting, *self._joined]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._socket.close()


async def _inward(reader: asyncio.StreamReader, stream: Stream[BytesMessage, BytesMessage]) -> None:
    while data := await reader.read(_CHUNK):
        await stream.send_message(BytesMessage(data=data))
    await stream.end()


async def _outward(stream: Stream[BytesMessage, BytesMessage], writer: asyncio.StreamWriter) -> None:
    while (message := await next_message(stream)) is not None:
        writer.write(message.data)
        await writer.drain()
