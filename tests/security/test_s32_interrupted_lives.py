"""S32: killed, out of space or with a failing disk at each step of each job: nothing is left, and the retry succeeds.

A job is run until the daemon dies at the armed point: at its second pass, so that the job has succeeded before (which
is the retry after the last point's death), or at the first where the job passes the point several times.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import SIGKILL

import pytest

from ..support import leaks
from ..support.daemon import BIN, Daemon
from ..support.hosts import Result
from ..support.imagehost import layer_tar
from ..support.images import busybox_rootfs

POINTS = {
    "run": (
        "engine.create.stored", "engine.create.committed", "engine.start.mounted", "engine.start.connected",
        "engine.start.created", "engine.start.running", "engine.exit.released", "engine.remove.forgotten",
        "storage.prepare.made", "storage.remove.row-gone",
    ),
    "exec": ("engine.exec.registered", "engine.exec.running"),
    "pull": (
        "cas.write", "cas.commit", "cas.renamed", "pull.configured", "storage.unpack.begin", "storage.unpack.applied",
        "storage.commit.before-sync", "storage.commit.before-row", "pull.unpacked", "pull.added",
    ),
    "build": ("storage.prepare.made", "storage.commit.before-row", "cas.commit", "cas.renamed"),
    "prune": ("engine.remove.forgotten", "storage.remove.row-gone"),
}  # fmt: skip
UNRECORDED = frozenset(("engine.exec.running", "engine.exit.released", "engine.remove.forgotten", "cas.renamed",
                        "storage.remove.row-gone", "engine.start.running"))  # fmt: skip
"""Points where the daemon dies only: what follows them in the program cannot fail by the disk."""
AT_ONCE = frozenset(("cas.write", "cas.commit", "storage.unpack.begin", "storage.unpack.applied"))
"""A pull passes these in parallel: where two fail, one is told."""


class Jobs:
    """One daemon with a registry beside it; each method is a job that can be repeated whatever became of the last."""

    def __init__(self, daemon: Daemon, registry: str) -> None:
        self.daemon, self.registry = daemon, registry
        self.seen: set[str] = set()
        self.number = 0

    def do(self, job: str) -> Result:
        result: Result = getattr(self, job)()
        self.seen |= {path.name for root in self._roots() for path in root.iterdir()}
        return result

    def run(self) -> Result:
        given = ("--network", "fixed", "--ip", "10.77.0.9", "-p", "127.0.0.1:8088:80", "-v", "kept:/kept")
        return self.daemon.docker("run", "--rm", "--name", "once", *given, "busybox", "echo", "hi")

    def exec(self) -> Result:
        return self.daemon.docker("exec", "keeper", "echo", "hi")

    def pull(self) -> Result:
        self.daemon.docker("rmi", f"{self.registry}/x:1")
        return self.daemon.docker("pull", f"{self.registry}/x:1")

    def build(self) -> Result:
        argv = ["docker", "build", "--no-cache", "--rm", "-t", "built", "-"]
        self.number += 1  # the same layer again would not be stored
        dockerfile = f"FROM busybox\nRUN echo {self.number} > /built\n".encode()
        return self.daemon.run("env", "DOCKER_BUILDKIT=0", *argv, stdin=dockerfile)

    def prune(self) -> Result:
        self.daemon.docker("create", "--name", "stale", "-v", "/x", "busybox")
        self.daemon.docker("import", "-", stdin=busybox_rootfs())
        return self.daemon.docker("system", "prune", "-f", "--volumes")

    def mend(self) -> None:
        """What a user does who finds the leftovers of an interrupted client: names that are taken, and old images."""
        self.daemon.docker("rm", "-fv", "once", "stale")
        self.daemon.docker("container", "prune", "-f")
        self.daemon.docker("volume", "prune", "-f")
        self.daemon.docker("rmi", "built", f"{self.registry}/x:1")
        self.daemon.docker("image", "prune", "-f")
        self.daemon.run("curl", "-sf", "--unix-socket", self.daemon.socket, "-X", "POST", "http://d/build/prune?all=1")

    def _roots(self) -> tuple[Path, Path]:
        return self.daemon.data_root / "containers", self.daemon.exec_root / "shims"

    def left(self) -> dict[str, list[str]]:
        """Whatever there is beside the keeper, as names."""
        daemon, keeper = self.daemon, self.daemon.ok("inspect", "-f", "{{.Id}}", "keeper")
        gone = self.seen - {keeper}
        groups = leaks.groups_below(leaks.CGROUP_PARENT)
        mounts = Path(f"/proc/{daemon.pid}/mountinfo").read_text().splitlines()
        links = daemon.host.check("ip", "-o", "link").splitlines()
        return {
            "cgroups": [str(path) for path in groups if path.name in gone],
            "mounts": [line for line in mounts if any(one in line for one in gone)][:1],
            "directories": [path.name for root in self._roots() for path in root.iterdir() if path.name != keeper],
            "links": [line for line in links if "veth" in line][1:],
            "processes": [row for row in leaks.processes() if any(one in row for one in gone)],
            "containers": daemon.ok("ps", "-aq", "--no-trunc").replace(keeper, "").split(),
            "volumes": [name for name in daemon.ok("volume", "ls", "-q").split() if name != "kept"],
        }

    def nothing_left(self) -> None:
        deadline = time.monotonic() + 5
        while left := {kind: names for kind, names in self.left().items() if names}:
            assert time.monotonic() < deadline, left
            time.sleep(0.05)  # the kernel announces none of these

    def stored(self) -> tuple[list[str], list[str]]:
        """Blobs and layers on disk."""
        blobs = self.daemon.data_root / "content/blobs/sha256"
        layers = [path for path in (self.daemon.data_root / "snapshots").glob("*/*") if path.name.isdecimal()]
        return sorted(path.name for path in blobs.iterdir()), sorted(path.name for path in layers)

    def store_is(self, before: tuple[list[str], list[str]]) -> None:
        """The store knows what an interrupted job left in it, for a day lest the job go on, and finds nothing wrong."""
        self.mend()
        snapshots = self.daemon.data_root / "snapshots"
        for path in [*(self.daemon.data_root / "content/blobs/sha256").iterdir(), *snapshots.glob("*/[0-9]*/.*"),
                     *snapshots.glob("*/[0-9]*/*"), *snapshots.glob("*/[0-9]*")]:  # fmt: skip
            with suppress(FileNotFoundError):  # what was removed is deleted beside us
                os.utime(path, (0, 0), follow_symlinks=False)
        check = ["curl", "-sf", "--unix-socket", self.daemon.socket, "-X", "POST", "http://d/system/check?repair=1"]
        problems = json.loads(self.daemon.run(*check).out)["Problems"]
        assert {(problem["What"], problem["Repaired"]) for problem in problems} <= {("stray", True)}, problems
        assert self.stored() == before


@contextmanager
def prepared(make_daemon: Callable[..., Daemon]) -> Iterator[Jobs]:
    daemon = make_daemon()
    argv = [str(BIN / "sampan"), "registry", "serve", "--root", f"{daemon.directory}/registry"]
    serving = daemon.host.popen(*argv, "--listen", "127.0.0.1:0", stdout=subprocess.PIPE)
    try:
        assert serving.stdout is not None
        address = serving.stdout.readline().decode().split("//")[-1].split()[-1].strip("/")
        daemon.ok("network", "create", "--subnet", "10.77.0.0/24", "fixed")
        daemon.ok("import", "-", f"{address}/x:1", stdin=layer_tar({"x": b"x" * 100_000}))
        daemon.ok("push", f"{address}/x:1")
        daemon.ok("rmi", f"{address}/x:1")
        daemon.ok("run", "-d", "--name", "keeper", "busybox", "sleep", "1000")
        daemon.ok("volume", "create", "kept")
        yield Jobs(daemon, address)
    finally:
        serving.kill()
        serving.communicate()


@pytest.mark.parametrize("job", POINTS)
def test_s32_killed_at_each_step(job: str, make_daemon: Callable[..., Daemon]) -> None:
    with prepared(make_daemon) as jobs:
        daemon, before = jobs.daemon, jobs.stored()
        for point in POINTS[job]:
            daemon.kill() if daemon.alive else daemon.stop_waiting()
            daemon.start(env={"SAMPAN_FAULT": f"{point}=kill@2"})
            jobs.mend()
            jobs.nothing_left()
            for _ in range(3):
                if daemon.alive:
                    jobs.do(job)
            assert not daemon.alive, f"{point} is never passed"
        daemon.stop_waiting()
        daemon.start()
        jobs.mend()
        jobs.nothing_left()
        result = jobs.do(job)
        assert result.status == 0, result
        assert daemon.ok("exec", "keeper", "echo", "here") == "here"
        jobs.store_is(before)


def test_s32_a_build_step_ends_with_its_daemon(make_daemon: Callable[..., Daemon]) -> None:
    with prepared(make_daemon) as jobs:
        daemon = jobs.daemon
        argv = ["env", "DOCKER_BUILDKIT=0", "docker", "build", "--no-cache", "-"]
        building = daemon.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert building.stdin is not None and building.stdout is not None
        building.stdin.write(b"FROM busybox\nRUN echo under way; sleep 1000\n")
        building.stdin.close()
        assert any(line == b"under way\n" for line in building.stdout)
        jobs.seen |= {path.name for path in (daemon.exec_root / "shims").iterdir()}
        daemon.kill()
        building.stdout.read()
        building.stdout.close()
        building.wait()
        daemon.start()
        jobs.nothing_left()
        assert list((daemon.exec_root / "builds").iterdir()) == []
        assert jobs.do("build").status == 0


def test_s32_the_disk_fails_at_each_step(make_daemon: Callable[..., Daemon]) -> None:
    with prepared(make_daemon) as jobs:
        daemon, before = jobs.daemon, jobs.stored()
        points = {point for job in POINTS for point in POINTS[job]} - UNRECORDED
        daemon.stop()
        armed = [f"{point}={code}" for point, code in zip(sorted(points), ("ENOSPC", "EIO") * 20, strict=False)]
        daemon.start(env={"SAMPAN_FAULT": ",".join(armed)})
        met = set()
        for job in POINTS:
            while (failed := jobs.do(job)).status:
                point = (failed.out + failed.err).partition("(fault point ")[2].partition(")")[0]
                assert point in points - met, (job, failed)
                met.add(point)
                jobs.nothing_left()
        assert points - met <= AT_ONCE
        jobs.store_is(before)


def test_s32_a_shim_killed_in_each_state(make_daemon: Callable[..., Daemon]) -> None:
    with prepared(make_daemon) as jobs:
        daemon = jobs.daemon
        for state in ("running", "paused", "executing"):
            daemon.ok("run", "-d", "--name", "once", "-p", "127.0.0.1:8088:80", "busybox", "sleep", "1000")
            container = daemon.ok("inspect", "-f", "{{.Id}}", "once")
            jobs.seen.add(container)
            waiting = daemon.popen(["docker", "wait", "once"], stdout=subprocess.PIPE)
            child = None
            if state == "paused":
                daemon.ok("pause", "once")
            elif state == "executing":
                argv = ["docker", "exec", "once", "sh", "-c", "echo on; sleep 1000"]
                child = daemon.popen(argv, stdout=subprocess.PIPE)
                assert child.stdout is not None and child.stdout.readline() == b"on\n"
            _kill_shim(container)
            assert waiting.communicate(timeout=30)[0] == b"137\n"
            if child is not None:
                child.communicate(timeout=30)
                assert child.returncode == 137
            assert daemon.ok("start", "once") == "once"
            daemon.ok("rm", "-f", "once")
            jobs.nothing_left()


def _kill_shim(container: str) -> None:
    named = [row for row in leaks.processes() if f"sampan-shim {container}" in row]
    os.kill(int(named[0].split()[1].rstrip(":")), SIGKILL)


def test_s32_out_of_memory(make_daemon: Callable[..., Daemon]) -> None:
    with prepared(make_daemon) as jobs:
        limits = ("--memory", "16m", "--memory-swap", "16m", "-p", "127.0.0.1:8088:80")
        failed = jobs.daemon.docker("run", "--name", "once", *limits, "busybox", "tail", "/dev/zero")
        assert failed.status == 137
        assert jobs.daemon.ok("inspect", "-f", "{{.State.OOMKilled}}", "once") == "true"
        jobs.seen.add(jobs.daemon.ok("inspect", "-f", "{{.Id}}", "once"))
        jobs.daemon.ok("rm", "once")
        jobs.nothing_left()
        assert jobs.do("run").out == "hi\n"
