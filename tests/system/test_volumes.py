"""Volumes with the stock client: packed data, sharing, backup, migration, and a daemon that dies meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from ..support.daemon import Daemon


def test_packed_data_sharing_backup_and_migration(daemon: Daemon, name: str, tmp_path: Path) -> None:
    ok = daemon.ok
    ok("run", "--name", f"{name}-pack", "busybox", "sh", "-c", "mkdir /data; echo packed > /data/file")
    ok("commit", f"{name}-pack", f"{name}-one")
    # a container that never runs holds the image's data for others
    ok("create", "--name", f"{name}-data", "-v", f"{name}-vol:/data", f"{name}-one", "true")
    assert ok("run", "--rm", "--volumes-from", f"{name}-data", "busybox", "cat", "/data/file") == "packed"
    backup = daemon.docker("run", "--rm", "--volumes-from", f"{name}-data:ro", "busybox", "tar", "-c", "/data")
    assert backup.status == 0
    ok("run", "--rm", "--volumes-from", f"{name}-data", "busybox", "rm", "/data/file")
    tar = backup.out.encode("utf-8", "surrogateescape")
    ok("run", "--rm", "-i", "--volumes-from", f"{name}-data", "busybox", "tar", "-x", stdin=tar)
    assert ok("run", "--rm", "-v", f"{name}-vol:/d", "busybox", "cat", "/d/file") == "packed"
    # a newer image on the same volume keeps the data that is there
    ok("commit", "-c", "ENV VERSION=2", f"{name}-pack", f"{name}-two")
    newer = ok("run", "--rm", "-v", f"{name}-vol:/data", f"{name}-two", "sh", "-c", "cat /data/file; echo $VERSION")
    assert newer.split() == ["packed", "2"]
    ok("rm", "-v", f"{name}-data", f"{name}-pack")
    ok("rmi", f"{name}-one", f"{name}-two")
    ok("volume", "rm", f"{name}-vol")


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
