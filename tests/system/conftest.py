"""A daemon shared by the tests of one worker, and a maker of daemons for tests that hurt theirs."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..support.daemon import BIN, Daemon

_NAMES = itertools.count()


@pytest.fixture(scope="session")
def _shared() -> Iterator[Daemon]:
    daemon = Daemon().start()
    daemon.load_busybox()
    yield daemon
    daemon.close()


@pytest.fixture
def daemon(_shared: Daemon) -> Daemon:
    """The worker's daemon with `busybox:latest`; name what you make with `name()` and remove it."""
    return _shared


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"t{os.getpid()}-{next(_NAMES)}"


@pytest.fixture
def make_daemon() -> Iterator[Callable[..., Daemon]]:
    """`make_daemon(*flags, config=json)` starts a daemon of the test's own with busybox; removed at the end."""
    made: list[Daemon] = []

    def make(*flags: str, config: str | None = None, busybox: bool = True) -> Daemon:
        daemon = Daemon(*flags, config=config)
        made.append(daemon)
        daemon.start()
        if busybox:
            daemon.load_busybox()
        return daemon

    yield make
    for daemon in made:
        daemon.close()


@pytest.fixture
def registry(daemon: Daemon, tmp_path: Path) -> Iterator[str]:
    """In the daemon's network namespace, where both it and the client reach it over loopback."""
    root = str(tmp_path / "root")
    process = daemon.host.popen(
        str(BIN / "sampan"), "registry", "serve", "--root", root, "--listen", "127.0.0.1:0", stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    yield line.split()[-1]
    process.terminate()
    assert process.wait(30) == 0
    process.stdout.close()
