"""Volumes: names, options, drivers, filters, prune, copies. Texts are dockerd 28.5's."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.tars import Member, tar

from sampan import faults
from sampan.db import Database
from sampan.errors import Conflict, InvalidArgument, NotFound, SampanError
from sampan.volume import ANONYMOUS, Volumes, copies

USERS: dict[str, list[str]] = {}


@pytest.fixture
async def volumes(tmp_path: Path) -> AsyncIterator[Volumes]:
    made = Volumes(Database(f"{tmp_path}/db"), f"{tmp_path}/volumes", lambda name: USERS.get(name, []))
    yield made
    for volume in made.list():
        USERS.pop(volume.name, None)
        await made.remove(volume.name, force=True)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


BAD = {
    ("x", ()): "create x: volume name is too short, names should be at least two alphanumeric characters",
    ("!x", ()): 'create !x: "!x" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" '
    "are allowed. If you intended to pass a host directory, use absolute path",
    ("vv", (("foo", "bar"),)): 'create vv: invalid option: "foo"',
    ("vv", (("type", "tmpfs"),)): 'create vv: missing required option: "device"',
}


@pytest.mark.parametrize("case", BAD)
async def test_what_is_refused(volumes: Volumes, case: tuple[str, tuple[tuple[str, str], ...]]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await volumes.create(case[0], "", dict(case[1]))
    assert str(caught.value) == BAD[case]
    assert volumes.list() == []


async def test_create_get_remove(volumes: Volumes) -> None:
    made = await volumes.create("vol", "", {"type": "tmpfs", "device": "tmpfs"}, {"a": "b"})
    assert await volumes.create("vol", "local", None, {"other": ""}) == made == volumes.get("vol")
    assert (made.driver, made.scope, made.labels, made.options and made.options["type"]) == (
        "local", "local", {"a": "b"}, "tmpfs",
    )  # fmt: skip
    anonymous = await volumes.create()
    assert len(anonymous.name) == 64 and anonymous.labels == {ANONYMOUS: ""} and anonymous.anonymous
    with pytest.raises(NotFound, match=r"^get nosuch: no such volume$"):
        await volumes.remove("nosuch")
    assert not await volumes.remove("nosuch", force=True)
    USERS["vol"] = ["abc"]
    with pytest.raises(Conflict, match=r"^remove vol: volume is in use - \[abc\]$"):
        await volumes.remove("vol")
    with pytest.raises(NotFound, match=r'create p: error looking up volume plugin nosuch: plugin "nosuch" not found'):
        await volumes.create("p", "nosuch")


async def test_filters_and_prune(volumes: Volumes) -> None:
    one, two = await volumes.create("one", labels={"k": "v"}), await volumes.create("two")
    anonymous = await volumes.create()
    Path(anonymous.mountpoint, "file").write_bytes(bytes(100))
    USERS["two"] = ["box"]
    names = lambda **filters: [v.name for v in volumes.list(filters)]  # noqa: E731
    assert names(label=["k=v"]) == ["one"] == names(name=["on"])
    assert names(dangling=["false"]) == ["two"] and two.name not in names(dangling=["1"])
    for filters, text in (
        ({"foo": ["bar"]}, "invalid filter 'foo'"),
        ({"dangling": ["x"]}, "invalid filter 'dangling=[x]'"),
    ):
        with pytest.raises(InvalidArgument) as caught:
            volumes.list(filters)
        assert str(caught.value) == text
    prunable = lambda **filters: [v.name for v in volumes.prunable(filters)]  # noqa: E731
    assert prunable() == [anonymous.name] and volumes.size(anonymous) == 100
    assert prunable(all=["true"], **{"label!": ["k"]}) == [anonymous.name]
    assert set(prunable(all=["true"])) == {anonymous.name, one.name}
    USERS.clear()


async def test_tmpfs_bind_and_loop(volumes: Volumes, tmp_path: Path) -> None:
    await volumes.create("ram", "", {"type": "tmpfs", "device": "tmpfs", "o": "size=64k,uid=7,nosuid"})
    path = await volumes.mount("ram", "box")
    assert await volumes.mount("ram", "other") == path
    assert (os.stat(path).st_uid, os.statvfs(path).f_blocks * os.statvfs(path).f_frsize) == (7, 65536)
    await volumes.unmount("ram", "box")
    assert os.path.ismount(path)
    await volumes.unmount("ram", "other")
    assert not os.path.ismount(path)
    (tmp_path / "host").mkdir()
    (tmp_path / "host/file").touch()
    await volumes.create("bound", "", {"type": "none", "device": f"{tmp_path}/host", "o": "bind,ro"})
    path = await volumes.mount("bound", "box")
    assert os.listdir(path) == ["file"]
    with pytest.raises(OSError, match="Read-only"):
        Path(path, "x").touch()
    await volumes.unmount("bound", "box")
    image = tmp_path / "image"
    image.write_bytes(bytes(4 << 20))
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    await volumes.create("loop", "", {"type": "ext4", "device": str(image), "o": "loop"})
    assert os.listdir(await volumes.mount("loop", "box")) == ["lost+found"]
    await volumes.unmount("loop", "box")
    await volumes.create("gone", "", {"type": "none", "device": f"{tmp_path}/gone", "o": "bind"})
    text = r"^error while mounting volume '.*/gone/_data': failed to mount local volume: mount .*: no such file or dir"
    with pytest.raises(SampanError, match=text):
        await volumes.mount("gone", "box")


async def test_a_size_limit_holds(volumes: Volumes) -> None:
    await volumes.create("small", "", {"size": "4m"})
    path = await volumes.mount("small", "box")
    assert os.listdir(path) == []
    with pytest.raises(OSError, match="No space left"):
        Path(path, "big").write_bytes(bytes(8 << 20))
    await volumes.unmount("small", "box")


async def test_rename_copy_snapshot_restore_export_import(volumes: Volumes, tmp_path: Path) -> None:
    data = Path((await volumes.create("vol")).mountpoint)
    (data / "file").write_text("first")
    os.chown(data, 5, 6)
    copies.snapshot(volumes.local, volumes.get("vol"), "s1")
    (data / "file").write_text("second")
    with pytest.raises(Conflict):
        copies.snapshot(volumes.local, volumes.get("vol"), "s1")
    renamed = volumes.rename("vol", "other")
    assert copies.snapshots(volumes.local, renamed) == ["s1"] and not volumes.exists("vol")
    copies.restore(volumes.local, renamed, "s1")
    assert Path(renamed.mountpoint, "file").read_text() == "first" and os.stat(renamed.mountpoint).st_uid == 5
    copy = await volumes.create("copy")
    copies.import_tar(copy.mountpoint, __import__("io").BytesIO(b"".join(copies.export(renamed.mountpoint))))
    assert Path(copy.mountpoint, "file").read_text() == "first" and os.stat(copy.mountpoint).st_uid == 5
    (data.parent.parent / "other/_data/file").write_text("third")
    faults.arm("volume.restore.exchanged=EIO")
    try:
        with pytest.raises(OSError, match=r"volume\.restore"):
            copies.restore(volumes.local, renamed, "s1")
    finally:
        faults.arm("")
    assert Path(renamed.mountpoint, "file").read_text() == "first"  # at no moment without data
    copies.remove_snapshot(volumes.local, renamed, "s1")
    assert copies.snapshots(volumes.local, renamed) == []
    with pytest.raises(InvalidArgument):
        copies.import_tar(copy.mountpoint, tar(Member("../out")))


async def test_a_restore_and_a_mount_wait_for_each_other(volumes: Volumes) -> None:
    file = Path((await volumes.create("vol")).mountpoint, "file")
    file.write_text("first")
    copies.snapshot(volumes.local, volumes.get("vol"), "s1")
    file.write_text("second")
    await volumes.mount("vol", "box")
    with pytest.raises(Conflict, match=r"restore vol: volume is in use - \[box\]"):
        await volumes.restore("vol", "s1")
    assert file.read_text() == "second"
    await volumes.unmount("vol", "box")
    restoring = asyncio.create_task(volumes.restore("vol", "s1"))
    await asyncio.sleep(0)  # it has begun
    await volumes.mount("vol", "box")
    assert restoring.done() and file.read_text() == "first"
    await volumes.unmount("vol", "box")


async def test_a_lost_database_does_not_lose_volumes(volumes: Volumes, tmp_path: Path) -> None:
    """S31: data without a row is taken in again, never swept away."""
    Path((await volumes.create("precious")).mountpoint, "file").write_text("data")
    os.mkdir(f"{tmp_path}/volumes/precious/_new")
    ram = await volumes.create("ram", "", {"type": "tmpfs", "device": "tmpfs"}, {"a": "b"})
    again = Volumes(Database(f"{tmp_path}/other.db"), f"{tmp_path}/volumes")
    assert Path(again.get("precious").mountpoint, "file").read_text() == "data"
    assert again.get("ram") == ram
    assert not os.path.exists(f"{tmp_path}/volumes/precious/_new")
