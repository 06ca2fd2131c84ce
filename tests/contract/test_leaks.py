"""The tests' own guards: sessions that were killed are swept, and the machine's network is out of reach."""

from __future__ import annotations

import os
import subprocess
import uuid
from pathlib import Path

from tests.support import leaks, machine

HIERARCHY = next(path for path in map(Path, ("/sys/fs/cgroup/pids", "/sys/fs/cgroup")) if path.exists())


def _session(owner: str) -> tuple[str, Path, subprocess.Popen[bytes]]:
    """A session's token, directory, and a process of its in a cgroup."""
    token = uuid.uuid4().hex[:12]
    directory = Path(f"/var/tmp/st-{token}")
    directory.mkdir()
    (directory / "owner").write_text(owner)
    group = HIERARCHY / f"sampan-test-{token}/1-0"
    group.mkdir(parents=True)
    process = subprocess.Popen(["sleep", "600"], env={"PATH": os.environ["PATH"], "SAMPAN_TEST_TOKEN": token})
    (group / "cgroup.procs").write_text(str(process.pid))
    return token, group, process


def test_only_sessions_whose_owner_has_ended_are_swept() -> None:
    gone = subprocess.Popen(["sleep", "600"])
    ended = machine.owner(gone.pid)
    gone.kill()
    gone.wait()
    mine = machine.owner(os.getpid())
    assert ended and mine and machine.owner(gone.pid) is None
    dead, dead_group, dead_process = _session(ended)
    live, live_group, live_process = _session(mine)
    foreign, _, foreign_process = _session("pid:[1] 1 1")
    try:
        assert dead in leaks.dead_sessions() and not {live, foreign} & set(leaks.dead_sessions())
        leaks.end(dead)
        assert dead_process.wait(10) == -9 and not dead_group.exists() and not os.path.exists(f"/var/tmp/st-{dead}")
        assert live_process.poll() is None and live_group.exists()
    finally:
        leaks.end(live)
        leaks.end(foreign)
        live_process.wait()
        foreign_process.wait()


def test_the_machines_network_is_not_ours() -> None:
    assert os.geteuid() != 0 or "SAMPAN_TEST_MACHINE" in os.environ
    here = os.readlink("/proc/self/ns/net")
    there = subprocess.run(machine.command("readlink", "/proc/self/ns/net"), capture_output=True, text=True, check=True)
    assert os.geteuid() != 0 or here != there.stdout.strip()
