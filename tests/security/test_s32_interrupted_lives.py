"""S31, S32: kill -9 and full disks at each step of a container's life leave nothing, and the retry succeeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ..support.daemon import Daemon
from ..support.leaks import CGROUP_PARENT

POINTS = (
    "engine.create.stored",
    "engine.create.committed",
    "engine.start.mounted",
    "engine.start.connected",
    "engine.start.created",
    "engine.start.running",
    "engine.exit.released",
    "engine.remove.forgotten",
)


def ids(daemon: Daemon) -> set[str]:
    """The containers that left something on disk; others' cgroups have the same parent."""
    return {
        path.name for root in (daemon.data_root / "containers", daemon.exec_root / "shims") for path in root.iterdir()
    }


def leftovers(daemon: Daemon, seen: set[str]) -> dict[str, list[str]]:
    groups = [path.name for path in Path("/sys/fs/cgroup").glob(f"*{CGROUP_PARENT}/*") if path.name in seen]
    mounts = [line for line in Path(f"/proc/{daemon.pid}/mountinfo").read_text().splitlines()
              if str(daemon.directory) in line]  # fmt: skip
    return {
        "cgroups": groups,
        "mounts": mounts,
        "containers": [path.name for path in (daemon.data_root / "containers").iterdir()],
        "shims": [path.name for path in (daemon.exec_root / "shims").iterdir()],
        "links": [line for line in daemon.host.check("ip", "-o", "link").splitlines() if "veth" in line],
    }


NOTHING: dict[str, list[str]] = {"cgroups": [], "mounts": [], "containers": [], "shims": [], "links": []}


@pytest.mark.parametrize("point", POINTS)
def test_a_daemon_killed_at(point: str, make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    daemon.stop()
    daemon.start(env={"SAMPAN_FAULT": f"{point}=kill"})
    failed = daemon.docker("run", "--rm", "--name", "once", "busybox", "echo", "hi")
    assert failed.status != 0
    daemon.stop_waiting()
    seen = ids(daemon)
    daemon.start()
    daemon.docker("rm", "-f", "once")
    assert leftovers(daemon, seen) == NOTHING
    assert daemon.ok("run", "--rm", "--name", "once", "busybox", "echo", "hi") == "hi"
    assert leftovers(daemon, seen) == NOTHING


def test_errors_at_each_step(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    daemon.stop()
    faults = ",".join(f"{point}=ENOSPC" for point in POINTS[:5])
    daemon.start(env={"SAMPAN_FAULT": faults})
    seen: set[str] = set()
    for _ in range(5):
        failed = daemon.docker("run", "--rm", "--name", "once", "busybox", "echo", "hi")
        seen |= ids(daemon)
        assert "No space left on device" in failed.err, failed
        assert leftovers(daemon, seen) == NOTHING
    assert daemon.ok("run", "--rm", "--name", "once", "busybox", "echo", "hi") == "hi"
    assert leftovers(daemon, seen) == NOTHING
