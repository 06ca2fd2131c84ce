"""S29: what the engine deletes carries its marker and lies below its root; S18: other users see none of it."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.db import Database
from sampan.errors import Conflict, InvalidArgument
from sampan.linux.mount import MNT_DETACH, MS_BIND, mount, umount2
from sampan.storage import open_snapshotter, unpack
from sampan.tree.marked import mark_root, remove_marked
from sampan.tree.remove import remove
from tests.support.tars import Member, tar


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "root"
    mark_root(str(path))
    yield path


def test_s29_roots_that_cannot_be_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/precious").touch()
    (tmp_path / "home").mkdir()
    (tmp_path / "link").symlink_to("/")
    monkeypatch.setenv("HOME", f"{tmp_path}/home")
    for path in ("/", f"{tmp_path}/home", os.getcwd(), f"{tmp_path}/full", f"{tmp_path}/link"):
        with pytest.raises(InvalidArgument):
            mark_root(path)
    assert os.listdir(tmp_path / "full") == ["precious"] and os.listdir(tmp_path / "home") == []


def test_s29_only_names_below_a_marked_root(root: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "unmarked/1").mkdir(parents=True)
    for at, name in (
        (root, ".."),
        (root, "."),
        (root, ""),
        (root, "../precious"),
        (root, ".sampan"),
        (tmp_path, "unmarked"),
    ):
        with pytest.raises(InvalidArgument):
            remove_marked(str(at), name)
    with pytest.raises(InvalidArgument):
        remove_marked(f"{tmp_path}/unmarked", "1")
    (root / "7").symlink_to(tmp_path / "precious")
    remove_marked(str(root), "7")
    remove_marked(str(root), "gone")
    assert (tmp_path / "precious").is_dir() and (tmp_path / "unmarked/1").is_dir() and not (root / "7").is_symlink()


def test_s29_mount_points_are_never_entered(root: Path, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    (tmp_path / "host/precious").touch()
    (root / "1/a/mounted").mkdir(parents=True)
    for spot in (root / "1", root / "1/a/mounted"):
        mount(str(tmp_path / "host"), str(spot), None, MS_BIND)
        try:
            with pytest.raises(Conflict, match="mount point"):
                remove_marked(str(root), "1")
        finally:
            umount2(str(spot), MNT_DETACH)
        assert (tmp_path / "host/precious").exists()
    remove_marked(str(root), "1")
    assert not (root / "1").exists()


def test_s29_deep_and_immutable_trees_go(tmp_path: Path) -> None:
    fd = start = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(2000):
        os.mkdir("deeper-than-path-max", dir_fd=fd)
        below = os.open("deeper-than-path-max", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        if fd != start:
            os.close(fd)
        fd = below
    file = os.open("file", os.O_CREAT | os.O_RDWR, 0o600, dir_fd=fd)
    for immutable in (file, fd):
        fcntl.ioctl(immutable, 0x40086602, struct.pack("l", 0x10))
    os.close(file)
    os.close(fd)
    remove(start, "deeper-than-path-max")
    os.close(start)
    assert os.listdir(tmp_path) == []


def test_s29_a_foreign_directory_in_the_driver_s_root_is_left(tmp_path: Path) -> None:
    snapshots = tmp_path / "snapshots"
    snapshots.mkdir()
    db = Database(f"{tmp_path}/db")
    made = open_snapshotter("overlay2", str(snapshots), db)
    unpack(made, "sha256:one", None, tar(Member("file")))
    (snapshots / "overlay2/lost+found").mkdir()
    (snapshots / "overlay2/99").mkdir()
    again = open_snapshotter("overlay2", str(snapshots), db)
    again.settle()
    assert (snapshots / "overlay2/lost+found").is_dir() and not (snapshots / "overlay2/99").exists()
    assert again.exists("sha256:one")
    for path, mode in ((snapshots / "overlay2", 0o710), (snapshots / "overlay2/1", 0o700)):
        assert path.stat().st_mode & 0o777 == mode  # S18
