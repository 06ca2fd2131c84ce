"""Volumes with the stock client: packed data, sharing, backup, migration, and a daemon that dies meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..support.daemon import Daemon


@pytest.fixture
def packed(daemon: Daemon, name: str) -> Iterator[str]:
    """Image `<name>-one` with data, and a container `<name>-data` that keeps it on a volume and never runs."""
    daemon.ok("run", "--name", f"{name}-pack", "busybox", "sh", "-c", "mkdir /data; echo packed > /data/file; "
              "chown 7:8 /data/file; chmod 640 /data/file")  # fmt: skip
    daemon.ok("commit", f"{name}-pack", f"{name}-one")
    daemon.ok("create", "--name", f"{name}-data", "-v", f"{name}-vol:/data", f"{name}-one", "true")
    yield name
    daemon.ok("rm", "-v", f"{name}-data", f"{name}-pack")
    daemon.ok("rmi", f"{name}-one")
    daemon.ok("volume", "rm", f"{name}-vol")


def test_a_data_container_holds_what_the_image_packs(daemon: Daemon, packed: str) -> None:
    read = daemon.ok("run", "--rm", "-v", f"{packed}-vol:/d", "busybox", "stat", "-c", "%n %u:%g %a %s", "/d/file")
    assert read == "/d/file 7:8 640 7"
    assert daemon.ok("inspect", "-f", "{{.State.Status}}", f"{packed}-data") == "created"


def test_volumes_from_a_container(daemon: Daemon, packed: str) -> None:
    given = ("run", "--rm", "--network", "none", "--volumes-from")
    script = "echo more >> /data/file; cat /data/file"
    assert daemon.ok(*given, f"{packed}-data", "busybox", "sh", "-c", script).split() == ["packed", "more"]
    refused = daemon.docker(*given, f"{packed}-data:ro", "busybox", "touch", "/data/file")
    assert refused.status == 1 and "Read-only file system" in refused.err
    nobody = daemon.docker(*given, f"{packed}-nobody", "busybox", "true")
    assert nobody.status == 125 and "No such container" in nobody.err


def test_backup_and_restore_by_tar(daemon: Daemon, packed: str, tmp_path: Path) -> None:
    given = ("run", "--rm", "--network", "none", "-v", f"{tmp_path}:/backup")
    daemon.ok(
        *given, "--volumes-from", f"{packed}-data:ro", "busybox", "tar", "-cf", "/backup/data.tar", "-C", "/data", "."
    )
    daemon.ok(*given, "-v", f"{packed}-restored:/data", "busybox", "tar", "-xf", "/backup/data.tar", "-C", "/data")
    script = "cat /data/file; stat -c %u:%g:%a /data/file"
    restored = daemon.ok(*given, "-v", f"{packed}-restored:/data:ro", "busybox", "sh", "-c", script)
    assert restored.split() == ["packed", "7:8:640"]
    daemon.ok("volume", "rm", f"{packed}-restored")


def test_a_newer_image_finds_the_data_of_the_older_one(daemon: Daemon, packed: str) -> None:
    given = ("run", "--rm", "--network", "none", "-v", f"{packed}-vol:/data")
    daemon.ok(*given, f"{packed}-one", "sh", "-c", "echo written by one > /data/file")
    daemon.ok("commit", "-c", "ENV VERSION=2", f"{packed}-pack", f"{packed}-two")  # which packs the first data again
    found = daemon.ok(*given, f"{packed}-two", "sh", "-c", "cat /data/file; echo $VERSION")
    assert found.splitlines() == ["written by one", "2"]
    daemon.ok("rmi", f"{packed}-two")


def test_anonymous_volumes_go_with_rm_v_and_rm(daemon: Daemon, name: str) -> None:
    before = set(daemon.ok("volume", "ls", "-q").split())
    daemon.ok("run", "--rm", "-v", "/one", "busybox", "touch", "/one/x")
    daemon.ok("create", "--name", name, "-v", "/two", "busybox", "true")
    assert len(set(daemon.ok("volume", "ls", "-q").split()) - before) == 1
    daemon.ok("rm", "-v", name)
    assert set(daemon.ok("volume", "ls", "-q").split()) == before


def test_cp_into_a_running_container_and_its_volume(daemon: Daemon, name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the host")
    daemon.ok("run", "-d", "--name", name, "-v", f"{name}-v:/vol", "--tmpfs", "/ram", "busybox", "sleep", "1000")
    for target in ("/file", "/vol/file"):
        assert daemon.docker("cp", str(tmp_path / "file"), f"{name}:{target}").status == 0
        assert daemon.ok("exec", name, "cat", target) == "from the host"
    daemon.ok("exec", name, "sh", "-c", "echo from within > /vol/other")
    assert daemon.docker("cp", f"{name}:/vol/other", str(tmp_path / "other")).status == 0
    assert (tmp_path / "other").read_text() == "from within\n"
    daemon.ok("rm", "-f", name)
    daemon.ok("volume", "rm", f"{name}-v")


def test_read_only_binds_are_read_only_all_the_way_down(daemon: Daemon, name: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for path in ("/x/file", "/x/sub/file"):
        done = daemon.docker(
            "run", "--rm", "--mount", f"type=bind,src={tmp_path},dst=/x,readonly", "busybox", "touch", path
        )
        assert done.status == 1 and "Read-only file system" in done.err


def test_a_bind_shows_its_owners_through_a_map(daemon: Daemon, name: str, tmp_path: Path) -> None:
    """The host's 1000 is root inside, and what root makes there is 1000's."""
    (tmp_path / "given").touch()
    os.chown(tmp_path, 1000, 1001)
    os.chown(tmp_path / "given", 1000, 1001)
    script = "stat -c %u:%g /x/given; touch /x/made; stat -c %u:%g /x/made"
    mapped = "uids=1000-0-1;gids=1001-0-1"
    assert daemon.ok("run", "--rm", "-v", f"{tmp_path}:/x:idmap={mapped}", "busybox", "sh", "-c", script).split() == [
        "0:0",
        "0:0",
    ]
    assert ((tmp_path / "made").stat().st_uid, (tmp_path / "made").stat().st_gid) == (1000, 1001)
    mount = f"type=bind,src={tmp_path},dst=/x,idmap={mapped}"
    assert daemon.sampan("run", "--rm", "--mount", mount, "busybox", "stat", "-c", "%u", "/x/made").out == "0\n"
    for wrong, text in (
        ("idmap", "is for containers in a user namespace"),
        ("idmap=uids=1", "want uids=DISK-CONTAINER"),
    ):
        refused = daemon.docker("create", "-v", f"{tmp_path}:/x:{wrong}", "busybox")
        assert refused.status == 1 and text in refused.err, refused


def test_a_killed_daemon_takes_mounts_up_again(make_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = make_daemon()
    daemon.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "ram")
    daemon.ok("run", "--rm", "-v", "sub:/v", "busybox", "mkdir", "-p", "/v/a/b")
    daemon.ok(
        "run", "-d", "--name", "box", "-v", "ram:/ram", "--mount", "type=volume,src=sub,dst=/sub,volume-subpath=a",
        "--mount", "type=image,src=busybox,dst=/image", "busybox", "sh", "-c", "echo 1 > /ram/x; exec sleep 1000",
    )  # fmt: skip
    daemon.stop(signal.SIGKILL)
    daemon.start()
    assert daemon.ok("exec", "box", "sh", "-c", "cat /ram/x; ls /sub; ls /image/bin | head -1").split()[:2] == [
        "1",
        "b",
    ]
    assert daemon.docker("volume", "rm", "ram").status == 1
    daemon.ok("rm", "-f", "box")
    root = str(daemon.data_root)
    inside = daemon.run("cat", "/proc/self/mountinfo").out
    assert f"{root}/volumes" not in inside and f"{root}/snapshots" not in inside
    daemon.ok("volume", "rm", "ram", "sub")
