"""Session-wide: the leak check, and what this machine can do."""

from __future__ import annotations

import platform
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .support import leaks, machine

machine.enter()
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A run in a shell's background ignores it, and so would every client that a test interrupts (signal(7), execve).
    signal.signal(signal.SIGINT, signal.default_int_handler)
# How fast a case is made or runs tells of the machine; a test that is about bounded time sets a deadline itself.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_report_header() -> list[str]:
    cgroup = "v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1"
    tools = [name for name in ("docker", "skopeo", "docker-registry", "runc", "crun", "nft") if shutil.which(name)]
    return [f"kernel {platform.release()}, cgroup {cgroup}; peers: {' '.join(tools)}"]


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        session.config.stash[_BEFORE] = leaks.begin()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if hasattr(session.config, "workerinput"):
        return
    left = leaks.remaining(session.config.stash[_BEFORE])
    if left:
        session.config.stash[_LEFT] = left
        session.exitstatus = pytest.ExitCode.TESTS_FAILED if exitstatus == 0 else exitstatus
    else:
        leaks.remove_session()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left = config.stash.get(_LEFT, [])
    if left:
        terminalreporter.section("left on the machine", red=True)
        for row in left:
            terminalreporter.line(row)


_BEFORE = pytest.StashKey[list[str]]()
_LEFT = pytest.StashKey[list[str]]()
