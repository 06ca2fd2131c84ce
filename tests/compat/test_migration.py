"""`sampan system migrate-from-docker` of a data-root that a real dockerd made."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.daemon import Daemon
from ..support.leaks import session_dir
from ..support.peer import Peer

pytestmark = pytest.mark.peer

DOCKERFILE = b"""FROM busybox
RUN echo 1 > /one && rm /bin/vi && mkdir -p /op/deep && touch /op/deep/old
RUN rm -rf /op && mkdir /op && touch /op/x && ln -s /op/x /link && chown 7:8 /op/x
LABEL made=by-docker
CMD ["cat", "/one"]
"""


@pytest.fixture(scope="module")
def docker_root() -> Iterator[Path]:
    """What dockerd leaves behind when it is stopped."""
    copy = session_dir() / f"docker-root-{os.getpid()}"
    peer = Peer().start()
    try:
        peer.load_busybox()
        peer.ok("network", "create", "--subnet", "10.44.0.0/24", "--label", "a=b", "mine")
        peer.ok("network", "create", "--internal", "auto")
        peer.ok("volume", "create", "--label", "k=v", "vol")
        peer.ok("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/etc", "bound")
        peer.ok("build", "-t", "built:1", "-", stdin=DOCKERFILE)
        peer.ok("tag", "built:1", "registry.test:5000/other/name:2")
        script = "echo written > /w; rm /one; rm -rf /op; mkdir /op; echo data > /v/f; chown 5:6 /v/f; touch /anon/z"
        peer.ok("run", "--name", "c1", "--network", "mine", "--ip", "10.44.0.9", "-v", "vol:/v", "-v", "/anon",
                "-e", "A=1", "-l", "x=y", "--restart", "on-failure:2", "-m", "64m", "built:1", "sh", "-c",
                f"{script}; echo told")  # fmt: skip
        peer.ok(
            "run",
            "--name",
            "c3",
            "--log-driver",
            "local",
            "--log-opt",
            "max-size=20k",
            "--log-opt",
            "max-file=3",
            "-v",
            "bound:/b",
            "busybox",
            "sh",
            "-c",
            "for i in $(seq 2000); do echo line $i of many; done",
        )
        peer.ok("create", "--name", "c2", "--health-cmd", "true", "-v", "/etc:/host:ro", "busybox", "true")
        peer.ok("stop", "-t", "0", "c1")
        os.kill(peer.pids()[0], 15)
        assert peer._process is not None
        peer._process.wait(30)
        subprocess.run(["cp", "-a", "--reflink=auto", f"{peer.state}/data", str(copy)], check=True)
    finally:
        peer.start()
        peer.close()
    cut_off(copy, "c2")
    yield copy
    shutil.rmtree(copy)


def cut_off(root: Path, name: str) -> None:
    """A container as a dockerd that was killed leaves it: running, with a process that is another's by now."""
    for path in (root / "containers").glob("*/config.v2.json"):
        config = json.loads(path.read_bytes())
        if config["Name"] == f"/{name}":
            config["State"] |= {"Running": True, "Pid": os.getpid(), "StartedAt": "2026-01-01T00:00:00Z"}
            path.write_text(json.dumps(config))


def digest(root: Path) -> str:
    """Everything about a tree but access times."""
    total = hashlib.sha256()
    for directory, names, files in os.walk(root):
        for name in sorted((*names, *files)):
            path = os.path.join(directory, name)
            found = os.lstat(path)
            total.update(repr((path, found.st_mode, found.st_uid, found.st_gid, found.st_size, found.st_mtime_ns,
                               found.st_ctime_ns)).encode())  # fmt: skip
            if stat.S_ISREG(found.st_mode):
                total.update(Path(path).read_bytes())
        names.sort()
    return total.hexdigest()


def test_everything_is_taken_over(docker_root: Path) -> None:
    before = digest(docker_root)
    daemon = Daemon().start()
    try:
        done = daemon.sampan("system", "migrate-from-docker", str(docker_root), timeout=300)
        assert done.status == 0 and done.out.splitlines()[-1] == "done", done
        images = set(daemon.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split())
        assert images == {"busybox:latest", "built:1", "registry.test:5000/other/name:2"}
        ids = set(os.listdir(docker_root / "image/overlay2/imagedb/content/sha256"))
        assert set(daemon.ok("images", "-aq", "--no-trunc").replace("sha256:", "").split()) == ids
        script = "cat /one; stat -c %u:%g /op/x; readlink /link; test ! -e /bin/vi && test ! -e /op/deep && echo gone"
        assert daemon.ok("run", "--rm", "built:1", "sh", "-c", script).split() == ["1", "7:8", "/op/x", "gone"]
        assert daemon.ok("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}} {{.Labels.a}}", "mine") == (
            "10.44.0.0/24 b"
        )
        assert daemon.ok("network", "inspect", "-f", "{{.Internal}}", "auto") == "true"
        assert daemon.ok("volume", "inspect", "-f", "{{.Labels.k}}", "vol") == "v"
        assert daemon.ok("run", "--rm", "-v", "vol:/v", "busybox", "stat", "-c", "%u:%g %s", "/v/f") == "5:6 5"
        (found,) = json.loads(daemon.ok("inspect", "c1"))
        assert (found["State"]["Status"], found["State"]["ExitCode"]) == ("exited", 0)
        assert found["Id"] in os.listdir(docker_root / "containers")
        assert found["HostConfig"]["Memory"] == 64 << 20 and "A=1" in found["Config"]["Env"]
        assert daemon.ok("logs", "c1") == "told"
        changes = set(daemon.ok("diff", "c1").splitlines())
        assert {"A /w", "D /one", "D /op/x"} <= changes
        daemon.ok("start", "c1")
        assert daemon.ok("wait", "c1") == "0"  # rm /one fails, the last command does not
        assert daemon.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "c2") == "exited 255"
        lines = daemon.ok("logs", "c3").splitlines()
        assert lines[-1] == "line 2000 of many" and len(lines) > 900  # of the rotated files too
        assert "volume bound: its data stays where it is: /etc" in done.out
        assert "build cache: not taken over: it is made again by the next builds" in done.out
        assert daemon.ok("inspect", "-f", "{{json .Config.Healthcheck.Test}}", "c2") == '["CMD-SHELL","true"]'
        assert daemon.ok("start", "-a", "c2") == ""
        again = daemon.sampan("system", "migrate-from-docker", str(docker_root), timeout=300)
        assert again.status == 0 and "container c1: kept" not in again.out and "volume vol: kept" in again.out
        missing = daemon.sampan("system", "migrate-from-docker", "/etc")
        assert missing.status == 1 and "/etc is no data-root of a Docker" in missing.err
    finally:
        daemon.close()
    assert digest(docker_root) == before
