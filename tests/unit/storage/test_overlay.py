"""overlay2's own: many layers, kernels without the new mount API, roots with long names, mounts that outlive us."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.tars import Member, directory, tar

from sampan.db import Database
from sampan.errors import Conflict, InvalidArgument
from sampan.storage import Layers, init_layer, open_snapshotter, overlay, unpack


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Layers]:
    opened = open_snapshotter("overlay2", str(tmp_path), Database(f"{tmp_path}.db"))
    yield opened
    for info in reversed(list(opened.walk())):
        while opened.mounted(info.key):
            opened.mount(info.key)
            opened.unmount(info.key)
            opened.unmount(info.key)
        opened.remove(info.key)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def stack(made: Layers, layers: int) -> str:
    parent = None
    for number in range(layers):
        key = f"sha256:{number}"
        made.prepare("making", parent)
        Path(made.upper("making") or "", f"file{number}").touch()
        parent = made.commit("making", key, synced=True).key
    made.prepare("box", parent)
    return "box"


def test_a_tree_of_130_layers(made: Layers) -> None:
    root = made.mount(stack(made, 130))
    assert len(os.listdir(root)) == 130
    Path(root, "new").touch()
    os.unlink(f"{root}/file7")
    assert [(change.kind, change.path) for change in made.changes("box")] == [(2, "/file7"), (1, "/new")]
    made.unmount("box")


def test_an_old_kernel_s_way(made: Layers, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(errno.EINVAL, "no lowerdir+")

    monkeypatch.setattr(overlay, "_new_stack", refuse)
    root = made.mount(stack(made, 130))
    assert len(os.listdir(root)) == 130
    Path(root, "new").touch()
    assert [change.path for change in made.changes("box")] == ["/new"]
    made.unmount("box")


def test_a_root_with_a_long_name(tmp_path: Path) -> None:
    root = tmp_path / ("n" * 120) / ("m" * 120)
    root.mkdir(parents=True)
    made = open_snapshotter("overlay2", str(root), Database(f"{tmp_path}.db"))
    mounted = made.mount(stack(made, 3))
    assert len(os.listdir(mounted)) == 3
    made.unmount("box")


def test_mounts_outlive_the_daemon_until_nobody_claims_them(made: Layers, tmp_path: Path) -> None:
    path = made.mount(stack(made, 2))
    made.prepare("other", "sha256:1")
    made.mount("other")
    again = open_snapshotter("overlay2", str(tmp_path), Database(f"{tmp_path}.db"))
    assert again.mounted("box") and again.mount("box") == path
    assert again.release_unused() == ["other"]
    assert not again.mounted("other")
    with pytest.raises(Conflict):
        again.remove("box")
    again.unmount("box")
    made.unmount("box")
    made.unmount("other")


def test_the_init_layer(made: Layers) -> None:
    unpack(made, "sha256:base", None, tar(directory("etc"), Member("etc/hosts", b"mine"), Member("etc/mtab", b"own")))
    key = init_layer(made, "sha256:base")
    assert key == init_layer(made, "sha256:base") == "init:sha256:base"
    made.prepare("box", key)
    root = Path(made.mount("box"))
    assert (root / "etc/hosts").read_bytes() == b"mine" and (root / "etc/mtab").read_bytes() == b"own"
    assert (root / "dev/console").is_file() and (root / "proc").is_dir() and made.changes("box") == []
    made.unmount("box")
    with pytest.raises(Conflict):
        made.remove("sha256:base")
    made.remove("box")
    made.remove("sha256:base")
    assert list(made.walk()) == []
    assert init_layer(made, None) == "init:"


def test_a_file_system_that_cannot_carry_it_is_refused(made: Layers) -> None:
    """An overlay's upper directory cannot lie on another overlay."""
    root = Path(made.mount(stack(made, 2)), "snapshots")
    root.mkdir()
    with pytest.raises(InvalidArgument, match=r"^driver not supported: overlay2: "):
        open_snapshotter("overlay2", str(root), Database(f"{root}.db"))
    assert [name for name in os.listdir(root / "overlay2") if name.isdecimal()] == []
    made.unmount("box")
