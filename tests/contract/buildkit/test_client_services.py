"""What builds ask of their client beside contexts: places for results, credentials, secrets, agents, uploads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Cardinality, Handler

from sampan.api.app import App
from sampan.build.sources import DiskTree
from sampan.buildkit import sending, upload
from sampan.buildkit.agents import CHECK, FORWARD, agents
from sampan.buildkit.credentials import CREDENTIALS, GET_SECRET, auth_for, secrets
from sampan.buildkit.proto import auth_pb2, secrets_pb2, sshforward_pb2, upload_pb2
from sampan.buildkit.sending import send_stream, send_tree
from sampan.buildkit.sessions import Session, sessions_of
from sampan.errors import Conflict, NotFound, NotImplementedHere, SampanError
from sampan.registry.config import ANONYMOUS, AuthConfig

from ...support import buildx
from ...support.fsutilpeer import Target


class Client:
    """Credentials, secrets, an agent that answers in capitals, a file for upload."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __mapping__(self) -> dict[str, Handler]:
        unary, both = Cardinality.UNARY_UNARY, Cardinality.STREAM_STREAM
        return {
            CREDENTIALS: Handler(self.credentials, unary, auth_pb2.CredentialsRequest, auth_pb2.CredentialsResponse),
            GET_SECRET: Handler(self.secret, unary, secrets_pb2.GetSecretRequest, secrets_pb2.GetSecretResponse),
            CHECK: Handler(self.check, unary, sshforward_pb2.CheckAgentRequest, sshforward_pb2.CheckAgentResponse),
            FORWARD: Handler(self.forward, both, sshforward_pb2.BytesMessage, sshforward_pb2.BytesMessage),
            upload.PULL: Handler(self.pull, both, upload_pb2.BytesMessage, upload_pb2.BytesMessage),
        }

    async def credentials(self, stream: Any) -> None:
        host = (await stream.recv_message()).Host
        self.asked.append(host)
        known = {"registry-1.docker.io": ("ann", "pass"), "token.example": ("", "identity")}
        user, secret = known.get(host, ("", ""))
        await stream.send_message(auth_pb2.CredentialsResponse(Username=user, Secret=secret))

    async def secret(self, stream: Any) -> None:
        identity = (await stream.recv_message()).ID
        if identity == "broken":
            raise SampanError("the key ring is locked")
        if identity != "key":
            raise NotFound(f"secret {identity}: not found")
        await stream.send_message(secrets_pb2.GetSecretResponse(data=b"\0value\n"))

    async def check(self, stream: Any) -> None:
        identity = (await stream.recv_message()).ID
        if identity != "default":
            raise SampanError(f"unset ssh forward key {identity}")
        await stream.send_message(sshforward_pb2.CheckAgentResponse())

    async def forward(self, stream: Any) -> None:
        assert stream.metadata["buildkit.ssh.id"] == "default"
        async for message in stream:
            await stream.send_message(sshforward_pb2.BytesMessage(data=message.data.upper()))

    async def pull(self, stream: Any) -> None:
        assert (stream.metadata["urlpath"], stream.metadata["urlhost"]) == ("/abc", "buildkit-session")
        for piece in (b"FROM", b" scratch", b"\n"):
            await stream.send_message(upload_pb2.BytesMessage(data=piece))


@pytest.fixture
async def client() -> Client:
    return Client()


@pytest.fixture
async def session(app: App, client: Client) -> AsyncIterator[Session]:
    async with buildx.session(buildx.to_app(app), "s", [client]):
        yield await sessions_of(app.engine).get("s")


async def test_credentials_are_asked_for_once_each(session: Session, client: Client) -> None:
    auth = auth_for(session)
    assert not client.asked
    for _ in range(2):
        assert await auth("docker.io") == AuthConfig(username="ann", password="pass")
        assert await auth("token.example") == AuthConfig(identitytoken="identity")
        assert await auth("other.example:5000") == ANONYMOUS
    assert client.asked == ["registry-1.docker.io", "token.example", "other.example:5000"]


async def test_secrets_that_are_not_there_are_left_out(session: Session) -> None:
    assert await secrets(session, ["key", "none"]) == {"key": b"\0value\n"}
    with pytest.raises(SampanError, match="the key ring is locked"):
        await secrets(session, ["broken"])


async def test_agents_are_sockets_while_the_build_lasts(app: App, session: Session) -> None:
    async with AsyncExitStack() as stack:
        found = await agents(app.engine, session, ["default", "none"], stack)
        assert list(found) == ["default"]
        pairs = [await asyncio.open_unix_connection(found["default"]) for _ in range(2)]
        for number, (_, writer) in enumerate(pairs):
            writer.write(b"hello %d" % number)
        for number, (reader, _) in enumerate(pairs):
            assert await asyncio.wait_for(reader.readexactly(7), 30) == b"HELLO %d" % number
        pairs[0][1].write_eof()
        assert await asyncio.wait_for(pairs[0][0].read(), 30) == b""
    assert await asyncio.wait_for(pairs[1][0].read(), 30) == b""
    for _, writer in pairs:
        writer.close()
        await writer.wait_closed()
    assert not os.path.exists(os.path.dirname(found["default"]))


async def test_an_upload_is_read_whole(session: Session) -> None:
    assert b"".join([part async for part in upload.pull(session, "http://buildkit-session/abc")]) == b"FROM scratch\n"


async def test_a_client_that_offers_nothing(app: App) -> None:
    async with buildx.session(buildx.to_app(app), "bare", []), AsyncExitStack() as stack:
        bare = await sessions_of(app.engine).get("bare")
        assert await auth_for(bare)("docker.io") == ANONYMOUS
        assert await secrets(bare, ["key"]) == {}
        assert await agents(app.engine, bare, ["default"], stack) == {}
        with pytest.raises(NotImplementedHere):
            await send_tree(bare, {})


def tree(root: Path) -> dict[str, object]:
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode, path.lstat().st_mtime_ns, path.lstat().st_nlink,
            os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None,
        )
        for path in root.rglob("*")
    }  # fmt: skip


async def test_trees_arrive_in_a_directory(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "etc/deep").mkdir(parents=True)
    (source / "etc-like").write_bytes(b"sorted behind etc/deep")
    (source / "etc/empty").touch()
    (source / "etc/deep/large").write_bytes(os.urandom(1 << 20) * 5)
    (source / "etc/run").write_bytes(b"#!")
    (source / "etc/run").chmod(0o4711)
    os.link(source / "etc/run", source / "run-again")
    (source / "out").symlink_to("../../..")
    target.mkdir()
    service = Target(target)
    async with buildx.session(buildx.to_app(app), "s", [service]):
        session = await sessions_of(app.engine).get("s")
        with DiskTree(str(source), keep_owner=True) as one:
            sent: list[int] = []
            await send_tree(session, {"": one}, "3", sent.append)
            assert sent == sorted(sent) and sent[-1] > 5 << 20
        assert tree(target) == tree(source)
        assert service.told["buildkit-attachable-exporter-id"] == "3"
        service.root = tmp_path / "several"
        service.root.mkdir()
        monkeypatch.setattr(sending, "_AT_ONCE", 3)  # files are numbered across batches of names
        with DiskTree(str(source), keep_owner=True) as one, DiskTree(str(source), keep_owner=True) as two:
            await send_tree(session, {"linux_arm64": two, "linux_amd64": one})
    for name in ("linux_amd64", "linux_arm64"):
        assert tree(service.root / name) == tree(source)


async def test_a_name_that_is_not_utf_8_is_no_crash(app: App, tmp_path: Path) -> None:
    os.mkdir(tmp_path / "source")
    with open(os.fsencode(tmp_path / "source") + b"/\xff", "w"):
        pass
    async with buildx.session(buildx.to_app(app), "s", [Target(tmp_path)]):
        session = await sessions_of(app.engine).get("s")
        with DiskTree(str(tmp_path / "source"), keep_owner=True) as one, pytest.raises(SampanError, match="not UTF-8"):
            await send_tree(session, {"": one})


async def test_one_file_arrives_whole(app: App) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * (3 << 20)

    service = Target()
    async with buildx.session(buildx.to_app(app), "s", [service]):
        session = await sessions_of(app.engine).get("s")
        await send_stream(session, chunks(), {"containerimage.digest": "sha256:1", "empty": ""})
        assert service.data == b"x" * (9 << 20)
        assert service.told["exporter-md-containerimage.digest"] == "sha256:1"
        service.exists = True
        with pytest.raises(Conflict, match="target already exists"):
            await send_stream(session, chunks())
