"""A planned layer is the layer that the same actions make in a mounted tree: archive, files, attributes, times."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from sampan.build.copying import make_mounted, make_planned
from sampan.build.filetree import FileTree, Pack, read_archive
from sampan.build.graph import Action, Copy, Files, MakeDirectory, MakeFile, MakeLink, Remove
from sampan.build.planning import Unplanned
from sampan.build.result import Result
from sampan.build.session import Session
from sampan.build.sources import DiskTree, SourceTree
from sampan.cas import Store
from sampan.db import Database
from sampan.engine.layers import LayerSnapshots
from sampan.errors import InvalidArgument, SampanError
from sampan.image.layers import Layer
from sampan.image.layers import Layers as ImageLayers
from sampan.oci.manifest import Descriptor
from sampan.storage import Layers, open_snapshotter, unpack
from sampan.tree.metadata import is_kept
from tests.support.tars import Member, directory, hardlink, symlink, tar

CONTEXT, STAGE = 1, 2
EPOCH = 1_600_000_000
"""All that is younger gets this time: what is made now is the same in both ways."""

LOWEST = (
    directory("etc"), Member("etc/passwd", b"me:x:7:8::/:\n"), Member("etc/group", b"us:x:9:\n"),
    directory("usr"), directory("usr/bin"), Member("usr/bin/tool", b"old", mode=0o4755), symlink("bin", "usr/bin"),
    directory("run"), directory("var"), symlink("var/run", "../run"), symlink("var/far", "/usr/../var/run/./"),
    directory("shared", 0o2775, gid=50), directory("shared/sub", 0o750, uid=3, pax={"SCHILY.xattr.user.d": "1"}),
    directory("app", mtime=1_500_000_000.25), Member("app/a", b"below", mode=0o600), symlink("app/l", "a"),
    directory("app/d"), Member("app/d/kept", b"kept"), symlink("app/out", "/etc"), symlink("nowhere", "/not/there"),
    symlink("loop", "loop"), directory("hidden"), Member("hidden/x"), directory("gone"), Member("gone/x"),
)  # fmt: skip
HIDING = (directory("hidden"), Member("hidden/.wh..wh..opq"), Member("hidden/new"), Member(".wh.gone"))
FILES = (
    Member("a", b"context", mode=0o640), Member("empty", b""), Member("big", b"ab" * 700_000),
    symlink("l", "a"), symlink("out", "../../../etc"), Member(".wh.x", b"a name that archives give a meaning"),
    directory("d", 0o700), Member("d/b", b"b", mtime=1_400_000_000.5), hardlink("d/h", "d/b"), hardlink("h", "d/b"),
    Member("d/n\u00e9", b"\x00", mode=0o4711), directory("d/e"), directory("d/e/f", 0o1777), Member("d/e/f/g", b"g"),
    Member("x", b"x", pax={"SCHILY.xattr.user.note": "value"}), Member("d/" + "long" * 40, b"pax"),
    directory("sub", 0o711), Member("sub/kept", b"other"), directory("sub/d"), Member("sub/d/b", b"again"),
    Member("old", b"1", mtime=-5), Member("pipe", type=b"6"),
)  # fmt: skip
OWNED = (
    Member("a", b"stage", uid=11, gid=12), directory("d", uid=13), Member("d/kept", b"replaced", uid=14, mode=0o4755),
    hardlink("d/again", "d/kept"), Member("null", type=b"3", device=(1, 3), mode=0o666), symlink("l", "d"),
    directory("app"), Member("app/a", b"above", gid=5), directory("app/d", uid=1, pax={"SCHILY.xattr.user.d": "2"}),
)  # fmt: skip


@dataclass
class Place:
    """Layers and trees to work on."""

    snapshotter: Layers
    session: Session
    bases: list[Result]
    sources: dict[int, SourceTree]

    async def both(self, base: Result, *actions: Action) -> bool:
        """Run actions in both ways and compare; whether they could be planned."""
        operation = Files(actions)
        try:
            planned = await self._made(make_planned, base, operation)
        except Unplanned:
            return False
        mounted = await self._made(make_mounted, base, operation)
        assert [one for one in planned if one not in mounted] == [one for one in mounted if one not in planned], actions
        return True

    async def _made(self, make: Callable[..., object], base: Result, operation: Files) -> object:
        try:
            result = await make(self.session, operation, base, self.sources)  # type: ignore[misc] # a coroutine
        except (SampanError, OSError) as error:
            return type(error), str(error)
        layer = result.layers[-1]
        blob = self.session.engine.store.open(layer.descriptor.digest)
        with blob:
            archive = hashlib.sha256(blob.read()).hexdigest()
        path = self.snapshotter.mount(result.chain_id)
        seen = described(Path(path))
        self.snapshotter.unmount(result.chain_id)
        if upper := self.snapshotter.upper(result.chain_id):  # other drivers' archives are comparisons of whole trees
            seen = [archive, str(layer), *described(Path(upper)), *seen]
        self.snapshotter.remove(result.chain_id)
        return seen


def described(root: Path) -> list[object]:
    """Everything about a tree that a program could see; what is made now has no time of its own."""
    found: list[object] = []
    first: dict[int, str] = {}
    for path in sorted([root, *root.rglob("*")]):
        status = path.lstat()
        mtime = min(status.st_mtime_ns, EPOCH * 10**9)
        name = str(path.relative_to(root))
        names = {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
                 if is_kept(key) or key == "trusted.overlay.opaque"}  # fmt: skip
        one = (name, status.st_mode, status.st_uid, status.st_gid, status.st_rdev, mtime, names)
        regular = stat.S_ISREG(status.st_mode)
        text = path.read_bytes() if regular else os.readlink(path) if path.is_symlink() else b""
        again = first.setdefault(status.st_ino, name) if status.st_nlink > 1 and not path.is_dir() else name
        found.append((one, text, again, status.st_blocks if regular else 0))
    return found


@pytest.fixture(params=["overlay2", "vfs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        db = Database(f"{tmp_path}/sampan.db")
        stack.callback(db.close)
        snapshotter = open_snapshotter(request.param, f"{tmp_path}/snapshots", db)
        stack.callback(snapshotter.close)
        store = Store(f"{tmp_path}/content", f"{tmp_path}/tmp")
        layers = ImageLayers(store, LayerSnapshots(snapshotter))
        engine = SimpleNamespace(snapshots=snapshotter, store=store, images=SimpleNamespace(layers=layers))
        session = cast(Session, SimpleNamespace(engine=engine, epoch=EPOCH))
        unpack(snapshotter, "sha256:low", None, tar(*LOWEST))
        unpack(snapshotter, "sha256:top", "sha256:low", tar(*HIDING))
        unpack(snapshotter, "sha256:stage", None, tar(*OWNED))
        stage = stack.enter_context(DiskTree(snapshotter.mount("sha256:stage"), keep_owner=True))
        sources: dict[int, SourceTree] = {CONTEXT: context(stack, tmp_path), STAGE: stage}
        yield Place(snapshotter, session, [Result(), layer("low"), layer("low", "top")], sources)
        snapshotter.unmount("sha256:stage")
        assert not [info.key for info in snapshotter.walk() if not info.committed], "nothing is left half made"


def context(stack: ExitStack, directory: Path) -> FileTree:
    spool = stack.enter_context(tempfile.TemporaryFile(dir=directory))
    pack = Pack(os.dup(spool.fileno()))
    stack.callback(pack.close)
    return read_archive(tar(*FILES), pack)


def layer(*names: str) -> Result:
    return Result(tuple(Layer(Descriptor("", f"sha256:{0:064}", 0), "", f"sha256:{name}", 0) for name in names))


def copy(*sources: str, to: str, of: int = CONTEXT, **more: object) -> Copy:
    return Copy(input=of, sources=sources, target=to, **more)  # type: ignore[arg-type] # passed on


PLANNED: dict[str, tuple[Action, ...]] = {
    "a new directory": (copy("d", to="/files/"),),
    "a whole context": (copy("/", to="/new/deep/er", exclude=(".wh.x",)),),
    "upon what is there": (copy("sub", to="/app"),),
    "a stage upon what is there": (copy("/", to="/", of=STAGE),),
    "a file over a file": (copy("a", to="/app/a"),),
    "a file over a link": (copy("a", to="/app/l"),),
    "a link over a file": (copy("l", to="/app/a"),),
    "through a link": (copy("a", to="/bin/tool"), copy("a", to="/var/run/"), copy("d", to="/var/far/x")),
    "to the end of a link": (copy("d", to="/app/out"),),
    "into set-gid directories": (copy("d", to="/shared/made/here"), copy("d", to="/shared/sub/x/y")),
    "directories merge": (copy("app", to="/app", of=STAGE), copy("sub", to="/app"), copy("d", to="/app/d")),
    "owners and modes": (
        copy("a", to="/o/", owner="me"), copy("d", to="/o/d", owner="7:us", mode="0750"), copy("x", to="/", mode="u+x"),
    ),
    "one inode, three names": (copy("/d/b", "/d/h", "/h", to="/links/"),),
    "a stage's links": (copy("/d", to="/links", of=STAGE),),
    "where something was hidden": (copy("a", to="/gone/x"), copy("a", to="/hidden/x")),
    "devices and pipes": (copy("/null", to="/dev/", of=STAGE), copy("pipe", to="/")),
    "files and directories": (
        MakeDirectory(path="/made/of", mode=0o711, owner="9:9"), MakeFile(target="/made/", name="f", data=b"text"),
        MakeFile(target="/app/a", name="f", data=b"text", mode="0600"), MakeDirectory(path="/app"),
    ),
    "nothing new": (MakeDirectory(path="/usr/bin"),),
    "the same file twice": (copy("a", to="/twice"), copy("x", to="/twice"), copy("sub", "d", to="/both/")),
    "parents": (copy("d/e/f", "./sub/./d", to="/kept/", parents=True),),
    "attributes": (copy("x", to="/shared/sub/"), copy("app/d", to="/shared/sub", of=STAGE)),
}  # fmt: skip
UNPLANNED: dict[str, tuple[Action, ...]] = {
    "removal": (Remove(path="/app"),),
    "a link": (MakeLink(path="/new/link", target="/app"),),
    "a link to nothing": (copy("a", to="/nowhere/x"),),
    "a link in a circle": (copy("a", to="/loop/x"),),
    "a file over a directory": (MakeDirectory(path="/x/a"), copy("a", to="/x/")),
    "a directory over a file": (MakeFile(target="/x/d", name="d", data=b""), copy("/", to="/x", exclude=(".wh.x",))),
    "whiteouts' names": (copy(".wh.x", to="/"),),
    "an owner of its own": (copy("a", to="/etc/passwd"), copy("a", to="/b", owner="me")),
    "without its parent": (copy("/", to="/x/", exclude=("d", "!d/e")),),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANNED)
async def test_what_is_planned_is_what_would_have_been(place: Place, name: str) -> None:
    assert await place.both(place.bases[2], *PLANNED[name])


@pytest.mark.parametrize("name", UNPLANNED)
async def test_what_takes_a_file_system_is_left_to_it(place: Place, name: str) -> None:
    assert not await place.both(place.bases[2], *UNPLANNED[name])


async def test_upon_nothing(place: Place) -> None:
    assert await place.both(Result(), copy("d", to="/"), MakeFile(target="/f", name="f", data=b""))


async def test_a_directory_on_the_way_that_is_a_file(place: Place) -> None:
    with pytest.raises(InvalidArgument, match="cannot copy to non-directory: /app/a"):
        await make_planned(place.session, Files((copy("d", to="/app/a"),)), place.bases[1], place.sources)
    assert await place.both(place.bases[1], copy("d", to="/app/a"))


_TARGETS = (
    "/", "/app", "/app/", "/app/d", "/app/l", "/app/a", "/bin", "/bin/", "/var/run/x", "/shared/n/m", "/n/", "/n",
    "/hidden/", "/gone", "/app/out/", "/app/out", "/nowhere", "/var/far/./d/",
)  # fmt: skip
_SOURCES = {CONTEXT: ("a", "d", "sub", "/", "l", "h", "d/*", "x", "d/e", "*"), STAGE: ("/", "d", "a", "l", "app", "*")}


def _random_actions(source: random.Random) -> Iterator[Action]:
    for _ in range(source.randint(1, 4)):
        target = source.choice(_TARGETS)
        if source.random() < 0.15:
            yield MakeDirectory(path=target, mode=source.choice((0o755, 0o1700)), owner=source.choice(("", "3", "4:5")))
        elif source.random() < 0.15:
            yield MakeFile(target=target, name="made", data=b"text", owner=source.choice(("", "me")))
        else:
            of = source.choice((CONTEXT, STAGE))
            yield copy(
                *source.choices(_SOURCES[of], k=source.randint(1, 2)), to=target, of=of,
                owner=source.choice(("", "", "6:7")), mode=source.choice(("", "", "g+ws", "0711")),
                exclude=source.choice((("**/.wh.x",), (".wh.x", "d/e"), (".wh.x", "**/b"))),
            )  # fmt: skip


async def test_random_actions(place: Place) -> None:
    count = 60 if place.snapshotter.name == "overlay2" else 20
    planned = 0
    for seed in range(count):
        source = random.Random(seed)
        planned += await place.both(source.choice(place.bases), *_random_actions(source))
    assert planned > count // 3, "the comparison means something"
