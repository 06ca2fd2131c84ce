"""The daemon is killed with containers in every state; what it finds when it comes up again, with and without them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ..support import reboots
from ..support.daemon import Daemon

AFTER_POWER_CUT = {
    "plain": "exited",
    "paused": "exited",
    "always": "running 0",
    "always-paused": "running 0",
    "always-stopped": "running 0",
    "unless": "running 0",
    "unless-stopped": "exited 137",
    "failure": "running 0",
    "looping": "loops",
    "gave-up": "exited 3",
    "healthy": "running 0 healthy",
    "created": "created 0",
    "created-always": "created 0",
    "needs-always": "running 0",
}
"""What dockerd 28.5 has after its machine went down (reboots.make run against it); it says 255 for what ran."""

ALIVE = {
    **AFTER_POWER_CUT,
    "plain": "running 0",
    "paused": "paused 0",
    "always-paused": "paused 0",
    "removed": "running 0",
    "healthy-plain": "running 0 healthy",
}
"""With live-restore."""


def kill_containers(daemon: Daemon) -> None:
    """As if the power had gone: shims first, so that nothing is written about the end."""
    names = daemon.ok("ps", "-q", "--no-trunc").split()
    inits = [int(pid) for pid in daemon.ok("inspect", "-f", "{{.State.Pid}}", *names).split() if pid != "0"]
    parents = {parent for pid in inits if (parent := _parent(pid))}
    daemon.kill()
    for pid in (*parents, *inits):
        try:
            assert pid > 1
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # the looping one ends by itself


def _parent(pid: int) -> int:
    """0 for a process that has ended: the looping one does by itself."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _told(daemon: Daemon) -> list[str]:
    filters = ("event=create", "event=start", "event=pause", "container=paused")
    span = ("--since", "1h", "--until", f"{time.time():.9f}")
    return daemon.ok("events", *span, "--format", "{{.Action}}", *(f"--filter={one}" for one in filters)).split()


@pytest.mark.parametrize("alive", [True, False], ids=["alive", "dead"])
def test_reboot(make_daemon: Callable[..., Daemon], alive: bool) -> None:
    daemon = make_daemon()
    reboots.make(daemon.ok)
    assert _told(daemon) == ["create", "start", "pause"]  # whoever asks for the past has it written
    pids: dict[str, str] = {}
    if alive:
        pids = {name: daemon.ok("inspect", "-f", "{{.State.Pid}}", name) for name in ("plain", "paused", "healthy")}
        daemon.kill()
    else:
        kill_containers(daemon)
    daemon.start()
    assert _told(daemon) == ["create", "start", "pause"]  # the journal outlives a daemon that is killed
    found = reboots.states(daemon.ok)
    expected = ALIVE if alive else AFTER_POWER_CUT
    assert ("removed" in found) == alive
    different = {name: (found[name], state) for name, state in expected.items() if not found[name].startswith(state)}
    assert not different
    if alive:
        assert {name: daemon.ok("inspect", "-f", "{{.State.Pid}}", name) for name in pids} == pids
        daemon.ok("unpause", "paused", "always-paused")
    else:
        assert found["plain"] in ("exited 137", "exited 255")
        order = [daemon.ok("inspect", "-f", "{{.State.StartedAt}}", name) for name in ("always", "needs-always")]
        assert order == sorted(order)
