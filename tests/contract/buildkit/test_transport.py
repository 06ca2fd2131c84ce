"""gRPC both ways over upgraded connections; sessions come, are waited for, and take their builds with them."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from sampan.api.app import App
from sampan.buildkit import sessions as sessions_module
from sampan.buildkit.gathering import Gathering
from sampan.buildkit.proto.secrets_pb2 import GetSecretRequest, GetSecretResponse
from sampan.buildkit.proto.session_pb2 import BytesMessage
from sampan.buildkit.sessions import Sessions, sessions_of
from sampan.buildkit.transport import Calls
from sampan.errors import NotFound, Unavailable

from ...support import buildx

SECRET = "/moby.buildkit.secrets.v1.Secrets/GetSecret"
SESSION = "/moby.buildkit.v1.Control/Session"


class Secrets:
    """A client's service: answers with the id, or refuses, or never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.cancelled = asyncio.Event()

    def __mapping__(self) -> dict[str, Handler]:
        return {SECRET: Handler(self.get, Cardinality.UNARY_UNARY, GetSecretRequest, GetSecretResponse)}

    async def get(self, stream: Any) -> None:
        request = await stream.recv_message()
        if request.ID == "none":
            raise NotFound("no such secret")
        if request.ID == "forever":
            self.asked.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        await stream.send_message(GetSecretResponse(data=request.ID.encode() * 100_000))


async def ask(channel: Any, identity: str) -> bytes:
    async with channel.request(SECRET, Cardinality.UNARY_UNARY, GetSecretRequest, GetSecretResponse) as stream:
        await stream.send_message(GetSecretRequest(ID=identity), end=True)
        return bytes((await stream.recv_message()).data)


async def test_the_daemon_calls_a_session(app: App) -> None:
    sessions = sessions_of(app.engine)
    waiting = asyncio.ensure_future(sessions.get("s1"))  # a build may come before its session
    async with buildx.session(buildx.to_app(app), "s1", [Secrets()], sharedkey="key"):
        session = await asyncio.wait_for(waiting, 30)
        assert (session.id, session.name, session.shared_key) == ("s1", "test", "key")
        assert session.supports(SECRET) and not session.supports("/moby.filesync.v1.Auth/Credentials")
        assert await ask(session.channel, "xyz") == b"xyz" * 100_000
        with pytest.raises(GRPCError, match="no such secret") as caught:
            await ask(session.channel, "none")
        assert caught.value.status is Status.NOT_FOUND
        with pytest.raises(buildx.Refused, match="409"):
            await buildx.upgraded(buildx.to_app(app), "/session", buildx.exposed("s1", []))
    await asyncio.wait_for(session.ended(), 30)
    with pytest.raises(Unavailable):
        await ask(session.channel, "xyz")


async def test_a_session_that_ends_takes_its_builds_with_it(app: App) -> None:
    async with buildx.session(buildx.to_app(app), "s2", [Secrets()]) as task:
        with pytest.raises(Unavailable, match="s2"):
            async with sessions_of(app.engine).using("s2"):
                task.cancel()
                await asyncio.wait_for(asyncio.Event().wait(), 30)


async def test_a_build_that_is_cancelled_itself_says_so(app: App) -> None:
    entered = asyncio.Event()

    async def build() -> None:
        async with sessions_of(app.engine).using("s3"):
            entered.set()
            await asyncio.Event().wait()

    async with buildx.session(buildx.to_app(app), "s3", [Secrets()]):
        task = asyncio.ensure_future(build())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_call_under_way_ends_with_its_connection() -> None:
    service = Secrets()
    link, serving = await buildx.linked([service])
    asking = asyncio.ensure_future(ask(Calls(link), "forever"))
    await asyncio.wait_for(service.asked.wait(), 30)
    link.close()
    await asyncio.wait_for(serving, 30)
    assert service.cancelled.is_set()
    with pytest.raises(StreamTerminatedError):
        await asking


async def test_an_absent_session_is_waited_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "PATIENCE", 0.01)
    with pytest.raises(NotFound, match="no active session for nobody"):
        await Sessions().get("nobody")


async def test_what_is_no_upgrade_is_refused(app: App) -> None:
    connect = buildx.to_app(app)
    for path in ("/grpc", "/session"):
        with pytest.raises(buildx.Refused, match="400"):
            await buildx.upgraded(connect, path, protocol="")
        with pytest.raises(buildx.Refused, match="400"):
            await buildx.upgraded(connect, path, protocol="websocket")
    with pytest.raises(buildx.Refused, match="400"):
        await buildx.upgraded(connect, "/session")


async def test_garbage_after_the_upgrade_ends_the_connection(app: App) -> None:
    loop = asyncio.get_running_loop()
    preface, no_frame = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\xee\0\0\0\0\1"
    for garbage in (b"GET / HTTP/1.1\r\n\r\n" * 4, bytes(64), preface + bytes(18), preface + no_frame):
        sock = await buildx.upgraded(buildx.to_app(app), "/grpc")
        await loop.sock_sendall(sock, garbage)
        async with asyncio.timeout(30):
            try:
                while await loop.sock_recv(sock, 4096):
                    pass
            except ConnectionResetError:
                pass
        sock.close()


async def test_a_client_that_hangs_up_at_once_leaves_nothing(app: App) -> None:
    loop = asyncio.get_running_loop()
    for path in ("/grpc", "/session"):
        sock = await buildx.to_app(app)()
        fields = "".join(f"{name}: {value}\r\n" for name, value in buildx.exposed("gone", []))
        head = f"POST {path} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n{fields}\r\n"
        await loop.sock_sendall(sock, head.encode())
        sock.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(30):
            while await loop.sock_recv(sock, 4096):
                pass
            while app.connections:
                await asyncio.sleep(0)
        sock.close()


async def test_unknown_methods_are_unimplemented(app: App) -> None:
    async with buildx.calls(buildx.to_app(app)) as channel:
        with pytest.raises(GRPCError) as caught:
            await ask(channel, "x")
    assert caught.value.status is Status.UNIMPLEMENTED


async def test_a_session_within_a_stream(app: App) -> None:
    """Control/Session: what a client does that has no POST /session of its own."""
    sessions = sessions_of(app.engine)
    fields = [(name.lower(), value) for name, value in buildx.exposed("inner", [Secrets()])]
    async with (
        buildx.calls(buildx.to_app(app)) as channel,
        channel.request(SESSION, Cardinality.STREAM_STREAM, BytesMessage, BytesMessage, metadata=fields) as stream,
    ):
        await stream.send_request()
        async with buildx.tunnelled(stream, [Secrets()]):
            session = await asyncio.wait_for(sessions.get("inner"), 30)
            assert await ask(session.channel, "abc") == b"abc" * 100_000
        await stream.end()
        await asyncio.wait_for(session.ended(), 30)


async def test_what_is_written_in_one_turn_travels_in_one_piece() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    below, _ = await asyncio.get_running_loop().create_unix_connection(asyncio.Protocol, sock=ours)
    transport = Gathering(below)
    with theirs:
        for piece in (b"he", b"l", b"lo"):
            transport.write(piece)
        with pytest.raises(BlockingIOError):
            theirs.recv(100)
        await asyncio.sleep(0)
        assert theirs.recv(100) == b"hello"
        transport.write(bytes(64 << 10))  # not what a turn could pile up without end
        assert theirs.recv(1)
        theirs.recv(1 << 20)
        transport.write(b"last")
        transport.close()
        assert theirs.recv(100) == b"last"
        assert transport.is_closing()
        transport.write(b"more")
        await asyncio.sleep(0)
        assert theirs.recv(100) == b""
