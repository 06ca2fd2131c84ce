"""Contexts through a session: what arrives, what travels again, and what becomes of transfers that lie or end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from sampan.api.app import App
from sampan.build.filetree import FileTree
from sampan.buildkit.filesync import Local, receive
from sampan.buildkit.proto.fsutil_pb2 import Packet, Stat
from sampan.buildkit.sessions import sessions_of
from sampan.buildkit.transport import Service
from sampan.errors import InvalidArgument, NotFound, NotImplementedHere, Unavailable

from ...support import buildx
from ...support.fsutilpeer import Directories, Script

STAT, DATA, FIN, ERR = Packet.PACKET_STAT, Packet.PACKET_DATA, Packet.PACKET_FIN, Packet.PACKET_ERR
LONG_AGO = 1_000_000_000 * 10**9 + 7


@pytest.fixture
def context(tmp_path: Path) -> Path:
    root = tmp_path / "context"
    (root / "dir/deep").mkdir(parents=True)
    (root / "a-b").write_bytes(b"between")
    (root / "empty").touch()
    (root / "dir/small").write_bytes(b"small")
    (root / "dir/large").write_bytes(os.urandom(1 << 20) * 3 + b"x")
    (root / "dir/deep/run").write_bytes(b"#!")
    (root / "dir/deep/run").chmod(0o4755)
    (root / "link").symlink_to("dir/../../..")
    os.link(root / "dir/small", root / "small-again")
    (root / "näme").write_bytes(b"umlaut")
    for path in sorted(root.rglob("*")):
        os.utime(path, ns=(LONG_AGO, LONG_AGO), follow_symlinks=False)
    return root


@asynccontextmanager
async def received(app: App, service: Service, local: Local, **more: str) -> AsyncIterator[FileTree]:
    async with buildx.session(buildx.to_app(app), "s", [service], **more), AsyncExitStack() as stack:
        session = await sessions_of(app.engine).get("s")
        yield await receive(app.engine, session, local, stack)


def contents(tree: FileTree) -> dict[str, object]:
    found: dict[str, object] = {}
    for file in tree.below(""):
        inode = tree.get(file.path)
        assert inode is not None
        what = inode.link or (b"".join(file.chunks()) if not inode.is_directory else None)
        found[file.path] = (oct(file.mode), file.mtime_ns, inode.names, what)
    return found


def on_disk(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        stat = path.lstat()
        what = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(root))] = (
            oct(stat.st_mode),
            stat.st_mtime_ns,
            1 if path.is_dir() else stat.st_nlink,
            what,
        )
    return found


def left(app: App) -> list[str]:
    return [name for name in os.listdir(app.engine.paths.tmp) if name.startswith("build-")]


async def test_a_directory_arrives_as_it_is(app: App, context: Path) -> None:
    service = Directories({"context": context})
    local = Local(include=["dir", "näme"], exclude=["*.o"], follow=["Dockerfile"])
    async with received(app, service, local) as tree:
        assert contents(tree) == on_disk(context)
    assert service.wanted["include-patterns"] == ["dir", "näme"]
    assert (service.wanted["exclude-patterns"], service.wanted["followpaths"]) == (["*.o"], ["Dockerfile"])
    assert "empty" not in service.asked and service.asked.count("dir/large") == 1
    assert not left(app)


async def test_only_what_changed_travels_again(app: App, context: Path) -> None:
    service = Directories({"context": context})
    async with received(app, service, Local(), sharedkey="key") as tree:
        assert contents(tree) == on_disk(context)
    everything = set(service.asked)
    service.asked.clear()
    (context / "a-b").write_bytes(b"Between")  # has the present's time: it may change again
    (context / "new").write_bytes(b"small")
    os.utime(context / "new", ns=(LONG_AGO - 7, LONG_AGO - 7))  # a full second: no mark of its contents
    for asked in ({"a-b", "new"}, {"a-b", "new"}):
        async with received(app, service, Local(), sharedkey="key") as tree:
            assert contents(tree) == on_disk(context)
        assert set(service.asked) == asked
        service.asked.clear()
    async with received(app, service, Local(), sharedkey="other"):
        assert set(service.asked) == everything | {"new"}
    assert not left(app)


async def test_a_part_of_a_context_does_not_make_the_rest_forgotten(app: App, context: Path) -> None:
    part = context.parent / "part"
    part.mkdir()
    (part / ".dockerignore").write_text("*.o")
    for root, local in ((context, Local()), (part, Local(follow=[".dockerignore"]))):
        async with received(app, Directories({"context": root}), local, sharedkey="key"):
            pass
    service = Directories({"context": context})
    async with received(app, service, Local(), sharedkey="key") as tree:
        assert contents(tree) == on_disk(context)
    assert not service.asked


async def test_nothing_is_remembered_without_a_shared_key(app: App, context: Path) -> None:
    service = Directories({"context": context})
    for _ in range(2):
        service.asked.clear()
        async with received(app, service, Local(), sharedkey="") as tree:
            assert contents(tree) == on_disk(context)
        assert "dir/large" in service.asked
    assert not os.path.exists(f"{app.engine.paths.build}/remembered")


async def test_a_remembered_context_whose_pack_has_gone_is_sent_again(app: App, context: Path) -> None:
    from sampan.build.builder import builder_of

    service = Directories({"context": context})
    async with received(app, service, Local(), sharedkey="key"):
        pass
    for name in os.listdir(f"{app.engine.paths.build}/context"):
        os.unlink(f"{app.engine.paths.build}/context/{name}")
    service.asked.clear()
    async with received(app, service, Local(), sharedkey="key") as tree:
        assert contents(tree) == on_disk(context)
    builder_of(app.engine).contexts.clear()
    (remembered,) = Path(app.engine.paths.build, "remembered").iterdir()
    remembered.write_bytes(remembered.read_bytes()[:-3])  # a crash
    async with received(app, service, Local(), sharedkey="key") as tree:
        assert contents(tree) == on_disk(context)


def names(*stats: Stat) -> list[Packet]:
    return [*(Packet(type=STAT, stat=one) for one in stats), Packet(type=STAT)]


def file(path: str, size: int = 0, linkname: str = "") -> Stat:
    return Stat(path=path, mode=0o644, size=size, linkname=linkname)


async def test_files_that_changed_while_they_travelled(app: App) -> None:
    """More or less than their STAT said, and interleaved; what fsutil's sender does when a file has gone: no bytes."""
    stats = [file("gone", 5), file("grown", 3), file("last", 4)]
    pieces = [
        Packet(type=DATA, ID=1, data=b"abc"), Packet(type=DATA, ID=2, data=b"la"), Packet(type=DATA, ID=0),
        Packet(type=DATA, ID=1, data=b"def"), Packet(type=DATA, ID=2, data=b"st"), Packet(type=DATA, ID=2),
        Packet(type=DATA, ID=1, data=b"g" * 100_000), Packet(type=DATA, ID=1), Packet(type=FIN),
    ]  # fmt: skip
    async with received(app, Script(names(*stats), pieces), Local(), sharedkey="k") as tree:
        found = {path: what[3] for path, what in contents(tree).items()}  # type: ignore[index]
    assert found == {"gone": b"", "grown": b"abcdef" + b"g" * 100_000, "last": b"last"}
    assert not left(app)


LIES: dict[str, list[Packet]] = {
    "absolute": names(file("/etc/passwd")),
    "leads out": names(file("../x")),
    "leads out within": names(Stat(path="d", mode=1 << 31), file("d/../../x")),
    "not clean": names(file("a//b")),
    "the root": names(file(".")),
    "no name": names(file("")),
    "NUL": names(file("a\0b")),
    "twice": names(file("a"), file("a")),
    "below a file": names(file("a"), file("a/b")),
    "below a link": names(Stat(path="l", mode=1 << 27, linkname="/etc"), file("l/passwd")),
    "below nothing": names(file("d/f")),
    "a link to nothing": names(Stat(path="l", mode=1 << 27)),
    "a further name of nothing": names(file("b", linkname="a")),
    "a further name of a directory": names(Stat(path="a", mode=1 << 31), file("b", linkname="a")),
    "of no kind": names(Stat(path="a", mode=1 << 19)),
    "negative": names(file("a", -1)),
    "too large": names(file("a", 1 << 62)),
    "no device": names(Stat(path="a", mode=1 << 26, devmajor=-1)),
    "contents first": [Packet(type=DATA, ID=0, data=b"x")],
    "names do not end": [Packet(type=STAT, stat=file("a")), Packet(type=FIN)],
}


async def test_lies_are_refused(app: App) -> None:
    for lie, packets in LIES.items():
        with pytest.raises(InvalidArgument):
            async with received(app, Script(packets), Local()):
                pytest.fail(lie)
    assert not left(app)


UNASKED = [
    [Packet(type=DATA, ID=7, data=b"x")],
    [Packet(type=DATA, ID=0), Packet(type=DATA, ID=0, data=b"x")],
    [Packet(type=STAT, stat=file("b"))],
    [Packet(type=FIN)],
    [Packet(type=ERR, data=b"disk \xff on fire")],
    [Packet(type=DATA, ID=0, data=b"x")],
]


async def test_contents_that_nobody_asked_for_are_refused(app: App) -> None:
    for pieces in UNASKED:
        with pytest.raises(InvalidArgument):
            async with received(app, Script(names(file("a", 3), file("c", 3)), pieces), Local(), sharedkey="k"):
                pytest.fail(str(pieces))
    assert not left(app)


async def test_a_client_without_the_directory_or_the_service(app: App, context: Path) -> None:
    with pytest.raises(NotFound, match='no access allowed to dir "other"'):
        async with received(app, Directories({"context": context}), Local("other")):
            pass

    class Nothing:
        def __mapping__(self) -> dict[str, object]:
            return {}

    with pytest.raises(NotImplementedHere, match="not supported by the client"):
        async with received(app, Nothing(), Local()):  # type: ignore[arg-type]
            pass


async def test_a_client_that_leaves_in_the_middle(app: App) -> None:
    """Neither a file nor a task stays."""
    script = Script(names(file("a", 1 << 20)), [Packet(type=DATA, ID=0, data=b"x" * 1000)], hang=True)
    tasks = asyncio.all_tasks()
    async with (
        buildx.session(buildx.to_app(app), "s", [script], sharedkey="k") as connection,
        AsyncExitStack() as stack,
    ):
        session = await sessions_of(app.engine).get("s")
        receiving = asyncio.ensure_future(receive(app.engine, session, Local(), stack))
        await asyncio.wait_for(script.reached.wait(), 30)
        connection.cancel()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(receiving, 30)
    assert not left(app)
    await asyncio.wait_for(session.ended(), 30)
    for task in asyncio.all_tasks() - tasks:
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 30)


async def test_a_build_that_is_cancelled_in_the_middle(app: App) -> None:
    script = Script(names(file("a", 1 << 20)), [Packet(type=DATA, ID=0, data=b"x" * 1000)], hang=True)
    async with buildx.session(buildx.to_app(app), "s", [script]):
        session = await sessions_of(app.engine).get("s")
        async with AsyncExitStack() as stack:
            receiving = asyncio.ensure_future(receive(app.engine, session, Local(), stack))
            await asyncio.wait_for(script.reached.wait(), 30)
            receiving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await receiving
    assert not left(app)
