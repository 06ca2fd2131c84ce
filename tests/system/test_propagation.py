"""Mount propagation between the machine and containers, where the machine's mounts are shared as under systemd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.daemon import Daemon
from ..support.hosts import Host

_SHARED = ("unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --make-rshared /; exec "$@"', "sh")
_SCRIPT = """
mkdir -p /m/in; mount -t tmpfs inside /m/in
grep -E ' /[mv] ' /proc/self/mountinfo | cut -d' ' -f5,7 | sed 's/:.*//'
"""


class SharedMachine(Host):
    """A machine with mounts of its own, all of them shared."""

    def command(self, *argv: str) -> list[str]:
        return super().command(*_SHARED, *argv)


@pytest.fixture
def machine() -> Iterator[Daemon]:
    daemon = Daemon(host=SharedMachine()).start()
    daemon.load_busybox()
    yield daemon
    daemon.close()


def _mounts(daemon: Daemon) -> list[str]:
    lines = Path(f"/proc/{daemon.pid}/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines if "/snapshots/" not in line]


def test_a_shared_bind_tells_the_machine_and_nothing_else_changes_there(machine: Daemon, tmp_path: Path) -> None:
    before = _mounts(machine)
    for mode, kind in (("rshared", "shared"), ("rslave", "master"), ("rprivate", "-")):
        (tmp_path / mode).mkdir()
        out = machine.ok(
            "run", "--rm", "--network", "none", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined",
            "-v", f"{tmp_path}/{mode}:/m:{mode}", "-v", "/v", "busybox", "sh", "-c", _SCRIPT,
        )  # fmt: skip
        assert out.splitlines() == [f"/m {kind}", "/v master"]
    assert [path for path in _mounts(machine) if path not in before] == [f"{tmp_path}/rshared/in"]
    assert [path for path in before if path not in _mounts(machine)] == []


def test_a_bind_cannot_be_shared_where_the_machine_keeps_its_mounts_to_itself(daemon: Daemon, tmp_path: Path) -> None:
    for mode, wanted in (("rshared", "a shared mount"), ("slave", "a shared or slave mount")):
        refused = daemon.docker("run", "--rm", "--network", "none", "-v", f"{tmp_path}:/m:{mode}", "busybox", "true")
        assert refused.status == 125
        assert f"path {tmp_path} is mounted on " in refused.err
        assert f"but it is not {wanted}" in refused.err
