"""S31: a cut at any point of a layer's life leaves a store that opens clean, and the retry succeeds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sampan import faults
from sampan.db import Database
from sampan.storage import Layers, open_snapshotter, unpack
from tests.support.tars import Member, directory, tar

LIFE = """
import sys
from sampan import faults
from sampan.db import Database
from sampan.storage import open_snapshotter, unpack
faults.arm(sys.argv[3])
made = open_snapshotter(sys.argv[1], sys.argv[2] + "/snapshots", Database(sys.argv[2] + "/db"))
with open(sys.argv[2] + "/tar", "rb") as stream:
    unpack(made, "sha256:one", None, stream)
with open(sys.argv[2] + "/tar", "rb") as stream:
    unpack(made, "sha256:two", "sha256:one", stream)
made.prepare("box", "sha256:two")
made.remove("box")
made.remove("sha256:two")
print("survived")
"""
POINTS = (
    "storage.prepare.made", "storage.unpack.begin", "storage.unpack.applied", "storage.commit.before-sync",
    "storage.commit.before-row", "storage.remove.row-gone",
)  # fmt: skip


def opened(driver: str, tmp_path: Path) -> Layers:
    return open_snapshotter(driver, f"{tmp_path}/snapshots", Database(f"{tmp_path}/db"))


def live(driver: str, tmp_path: Path, fault: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LIFE, driver, str(tmp_path), fault]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("driver", ["overlay2", "vfs"])
def test_s31_killed_at_every_point(driver: str, tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "tar").write_bytes(tar(directory("etc"), Member("etc/file", b"x" * 5000)).getvalue())
    killed = 0
    for point in POINTS:
        for count in (1, 2) if driver == "overlay2" else (1,):
            done = live(driver, tmp_path, f"{point}=kill@{count}")
            killed += done.returncode == -signal.SIGKILL
            assert done.returncode in (0, -signal.SIGKILL), done.stderr
            made = opened(driver, tmp_path)
            made.settle()
            assert made.check(deep=True) == []
            known = {info.directory for info in made.walk()}
            assert {int(name) for name in os.listdir(made.root) if name.isdecimal()} == known
            assert not [info for info in made.walk() if info.key.startswith("unpack-")]
            for info in reversed(list(made.walk())):
                made.remove(info.key)
            made.close()
    assert killed >= len(POINTS)
    assert "survived" in live(driver, tmp_path, "").stdout


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_s31_a_full_or_broken_disk_leaves_nothing(error: str, tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    made = opened("overlay2", tmp_path)
    for point in ("storage.prepare.made", "storage.unpack.begin", "storage.unpack.applied"):
        faults.arm(f"{point}={error}")
        try:
            with pytest.raises(OSError):
                unpack(made, "sha256:one", None, tar(Member("f")))
        finally:
            faults.arm("")
        assert list(made.walk()) == [] and made.check() == []
        made.settle()
        assert not [name for name in os.listdir(made.root) if name.isdecimal()]
    unpack(made, "sha256:one", None, tar(Member("f")))


def test_s31_a_lost_database_is_rebuilt_from_markers(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    made = opened("overlay2", tmp_path)
    unpack(made, "sha256:one", None, tar(Member("one")))
    unpack(made, "sha256:two", "sha256:one", tar(Member("two")))
    made.prepare("box", "sha256:two")
    again = open_snapshotter("overlay2", f"{tmp_path}/snapshots", Database(f"{tmp_path}/other"))
    assert [info.key for info in again.walk()] == ["sha256:one", "sha256:two"]
    again.prepare("new", "sha256:two")
    assert {"one", "two"} <= set(os.listdir(again.mount("new")))
    again.unmount("new")


def test_s31_missing_and_damaged_layers_are_found(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    made = opened("overlay2", tmp_path)
    unpack(made, "sha256:one", None, tar(Member("one", b"12345")))
    unpack(made, "sha256:two", "sha256:one", tar(Member("two", b"12345")))
    made.prepare("box", "sha256:two")
    one, two, box = (f"{made.root}/{made.stat(key).directory}" for key in ("sha256:one", "sha256:two", "box"))
    Path(one, "diff/one").write_bytes(b"1")
    os.rename(f"{two}/diff", f"{tmp_path}/away")
    os.rename(box, f"{tmp_path}/box")
    found = [(problem.what, problem.key, problem.repaired) for problem in made.check(repair=True, deep=True)]
    assert found == [("missing", "box", False), ("missing", "sha256:two", False), ("damaged", "sha256:one", False)]
    made.remove("box")
    found = [(problem.what, problem.key, problem.repaired) for problem in made.check(repair=True)]
    assert found == [("missing", "sha256:two", True)]
    assert not made.exists("sha256:two")  # so that a pull makes it again
