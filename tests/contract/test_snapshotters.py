"""One suite for all storage drivers: the promises of storage/snapshotter.py."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.db import Database
from sampan.errors import Conflict, InvalidArgument, NotFound
from sampan.linux.credentials import file_system_ids
from sampan.model.idmap import IdMap, IdRange
from sampan.storage import ADDED, DELETED, DRIVERS, MODIFIED, Layers, Mapper, init_layer, open_snapshotter, unpack
from tests.support import drivers
from tests.support.tars import Member, directory, hardlink, read, symlink, tar


@pytest.fixture(params=[pytest.param(name, marks=drivers.needs(name)) for name in DRIVERS])
def snapshotter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Layers]:
    with drivers.root_for(request.param, tmp_path) as root:
        db = Database(f"{tmp_path}/sampan.db")
        opened = open_snapshotter(request.param, str(root), db)
        yield opened
        for info in reversed(list(opened.walk())):
            while opened.mounted(info.key) and opened._counts.get(info.key):
                opened.unmount(info.key)
            opened.remove(info.key)
        assert opened.check() == []
        opened.close()
        assert not [name for name in os.listdir(opened.root) if name.isdecimal()]
        db.close()


def base(snapshotter: Layers, key: str = "sha256:base") -> str:
    members = (
        directory("etc", 0o755), Member("etc/passwd", b"root"), Member("etc/shadow", b"x", mode=0o600),
        directory("usr"), directory("usr/bin"), Member("usr/bin/su", b"\x7fELF", mode=0o4755),
        hardlink("usr/bin/su2", "usr/bin/su"), symlink("bin", "usr/bin"), directory("tmp", 0o1777),
    )  # fmt: skip
    unpack(snapshotter, key, None, tar(*members))
    return key


def layer(snapshotter: Layers, *members: Member) -> str:
    unpack(snapshotter, "sha256:top", base(snapshotter), tar(*members))
    return "sha256:top"


def active(snapshotter: Layers, parent: str | None) -> Path:
    snapshotter.prepare("box", parent)
    return Path(snapshotter.mount("box"))


def test_a_layer_keeps_modes_links_and_times(snapshotter: Layers) -> None:
    root = active(snapshotter, base(snapshotter))
    assert (root / "etc/passwd").read_bytes() == b"root"
    assert stat.S_IMODE((root / "usr/bin/su").stat().st_mode) == 0o4755
    assert (root / "usr/bin/su").stat().st_ino == (root / "usr/bin/su2").stat().st_ino
    assert os.readlink(root / "bin") == "usr/bin"
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    assert (root / "etc").stat().st_mtime == 1_700_000_000


def test_whiteouts_hide_what_lies_below(snapshotter: Layers) -> None:
    top = layer(snapshotter, Member("etc/.wh.shadow"), directory("usr"), Member("usr/.wh..wh..opq"), Member("usr/new"))
    root = active(snapshotter, top)
    assert sorted(os.listdir(root / "etc")) == ["passwd"]
    assert sorted(os.listdir(root / "usr")) == ["new"]


def test_a_directory_over_its_own_whiteout_does_not_merge(snapshotter: Layers) -> None:
    root = active(snapshotter, layer(snapshotter, Member(".wh.usr"), directory("usr"), Member("usr/only")))
    assert os.listdir(root / "usr") == ["only"]


def test_a_parent_that_a_layer_leaves_out_looks_as_below(snapshotter: Layers) -> None:
    unpack(snapshotter, "sha256:odd", None, tar(directory("srv", 0o751, uid=7, gid=8)))
    unpack(snapshotter, "sha256:odder", "sha256:odd", tar(Member("srv/file")))
    found = (active(snapshotter, "sha256:odder") / "srv").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o751, 7, 8)


def test_a_hard_link_may_name_a_file_of_a_layer_below(snapshotter: Layers) -> None:
    root = active(snapshotter, layer(snapshotter, hardlink("etc/again", "etc/passwd")))
    assert (root / "etc/again").read_bytes() == b"root"


def test_changes_are_those_of_docker_diff(snapshotter: Layers) -> None:
    root = active(snapshotter, base(snapshotter))
    (root / "etc/passwd").write_text("changed")
    (root / "etc/shadow").unlink()
    (root / "new").mkdir()
    (root / "new/file").write_text("x")
    os.utime(root / "tmp")  # a directory's time alone is no change
    found = [(change.kind, change.path) for change in snapshotter.changes("box")]
    assert found == [
        (MODIFIED, "/etc"), (MODIFIED, "/etc/passwd"), (DELETED, "/etc/shadow"), (ADDED, "/new"), (ADDED, "/new/file"),
    ]  # fmt: skip


def test_a_diff_unpacks_to_the_same_tree(snapshotter: Layers) -> None:
    root = active(snapshotter, base(snapshotter))
    (root / "etc/shadow").unlink()
    (root / "etc/passwd").write_text("other")
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.setxattr(root / "etc/passwd", "user.mark", b"\0\xff=")
    data = b"".join(snapshotter.diff("box"))
    assert data == b"".join(snapshotter.diff("box"))
    assert {"etc/.wh.shadow", "etc/passwd", "null"} <= read(data).keys()
    unpack(snapshotter, "sha256:again", "sha256:base", io.BytesIO(data))
    snapshotter.prepare("copy", "sha256:again")
    copy = Path(snapshotter.mount("copy"))
    assert os.getxattr(copy / "etc/passwd", "user.mark") == b"\0\xff="
    assert not (copy / "etc/shadow").exists() and (copy / "etc/passwd").read_text() == "other"
    assert snapshotter.changes("copy") == []


def test_commit_makes_a_parent_of_it(snapshotter: Layers) -> None:
    root = active(snapshotter, base(snapshotter))
    (root / "added").write_bytes(b"12345")
    with pytest.raises(Conflict):
        snapshotter.commit("box", "sha256:new")  # it is mounted
    snapshotter.unmount("box")
    assert snapshotter.commit("box", "sha256:new").bytes == 5
    assert not snapshotter.exists("box")
    snapshotter.prepare("next", "sha256:new")
    assert (Path(snapshotter.mount("next")) / "added").exists()
    with pytest.raises(Conflict):
        snapshotter.remove("sha256:new")


def test_mounts_are_counted(snapshotter: Layers) -> None:
    active(snapshotter, base(snapshotter))
    assert snapshotter.mount("box") == snapshotter.mount("box")
    snapshotter.unmount("box")
    snapshotter.unmount("box")
    assert snapshotter.mounted("box")
    with pytest.raises(Conflict):
        snapshotter.remove("box")
    snapshotter.unmount("box")
    assert not snapshotter.mounted("box")
    snapshotter.unmount("box")


def test_a_committed_snapshot_can_be_looked_at(snapshotter: Layers) -> None:
    top = layer(snapshotter, Member("etc/.wh.shadow"))
    root = Path(snapshotter.mount(top))
    assert (root / "etc/passwd").exists() and not (root / "etc/shadow").exists()
    alone = Path(snapshotter.mount("sha256:base"))
    assert (alone / "etc/shadow").exists()
    snapshotter.unmount(top)
    snapshotter.unmount("sha256:base")


def test_the_init_layer_costs_no_copy(snapshotter: Layers) -> None:
    key = base(snapshotter)
    assert (init_layer(snapshotter, key) == key) == snapshotter.copies_parents
    assert len(list(snapshotter.walk())) == (1 if snapshotter.copies_parents else 2)


def test_an_image_that_cannot_have_an_init_layer_leaves_nothing(snapshotter: Layers) -> None:
    if snapshotter.copies_parents:
        return
    unpack(snapshotter, "sha256:odd", None, tar(Member("etc", b"a file")))
    with pytest.raises(NotADirectoryError):
        init_layer(snapshotter, "sha256:odd")
    assert [info.key for info in snapshotter.walk()] == ["sha256:odd"]
    snapshotter.remove("sha256:odd")


def test_the_files_go_once_the_row_is_gone_for_good(snapshotter: Layers) -> None:
    key = base(snapshotter)
    database = snapshotter._db
    with pytest.raises(ZeroDivisionError), database.transaction():
        snapshotter.remove(key)
        raise ZeroDivisionError
    snapshotter.settle()
    again = open_snapshotter(snapshotter.name, os.path.dirname(snapshotter.root), database)
    assert os.listdir(f"{again.mount(key)}/etc")
    again.unmount(key)
    again.remove(key)
    again.close()


def test_unknown_keys(snapshotter: Layers) -> None:
    for use in (snapshotter.stat, snapshotter.mount, snapshotter.usage):
        with pytest.raises(NotFound):
            use("nothing")
    snapshotter.remove("nothing")
    with pytest.raises(NotFound):
        snapshotter.prepare("box", "nothing")
    snapshotter.prepare("box", None)
    with pytest.raises(Conflict):
        snapshotter.prepare("box", None)


def test_usage_is_what_lies_beyond_the_parent(snapshotter: Layers) -> None:
    root = active(snapshotter, base(snapshotter))
    (root / "file").write_bytes(bytes(1000))
    assert snapshotter.usage("box").bytes == 1000
    assert snapshotter.usage("sha256:base").bytes == 9


def test_two_active_layers_change_places(snapshotter: Layers) -> None:
    root = active(snapshotter, base(snapshotter))
    (root / "mine").touch()
    snapshotter.prepare("other", "sha256:base")
    with pytest.raises(Conflict):
        snapshotter.exchange("box", "other")  # mounted
    snapshotter.unmount("box")
    snapshotter.exchange("box", "other")
    assert [one.path for one in snapshotter.changes("other")] == ["/mine"] and snapshotter.changes("box") == []
    with pytest.raises(Conflict):
        snapshotter.exchange("box", "sha256:base")


def test_owners_look_mapped(snapshotter: Layers) -> None:
    """What root inside a user namespace makes is root's on the disk; its tree shows it the other way round."""
    mapper = Mapper(IdMap((IdRange(0, 300000, 65536),), (IdRange(0, 300000, 65536),)))
    base(snapshotter)
    try:
        snapshotter.map_ids(mapper)
    except InvalidArgument as error:
        mapper.close()
        assert snapshotter.name == "fuse-overlayfs" and "does not have here: the driver cannot" in str(error)
        return
    snapshotter.prepare("box", "sha256:base")
    root = Path(snapshotter.mount("box", mapped=True))
    assert (root / "etc/passwd").stat().st_uid == 300000
    with file_system_ids(300000, 300000):
        (root / "made").touch()
    assert snapshotter.mounted("box") and snapshotter.mount("box", mapped=True) == str(root)
    snapshotter.unmount("box")
    snapshotter.unmount("box")
    assert not os.path.exists(root / "made")
    assert (Path(snapshotter.mount("box")) / "made").stat().st_uid == 0
    assert [one.path for one in snapshotter.changes("box")] == ["/made"]
