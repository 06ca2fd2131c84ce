"""sampan-runc as the runtime of other engines: dockerd (`--add-runtime`) and podman (`--runtime`)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

import sampan
from tests.support.hosts import run
from tests.support.images import busybox_rootfs
from tests.support.leaks import CGROUP_PARENT
from tests.support.peer import Peer

pytestmark = pytest.mark.peer


def install(place: Path) -> Path:
    """Our runtime and this Python, for a tree that has none; the command."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    binary = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    (place / "bin").mkdir(parents=True)
    (place / "lib").mkdir()
    shutil.copy2(binary, place / "bin/python3")
    skip = shutil.ignore_patterns("__pycache__", "test", "dist-packages", "site-packages", "config-*")
    shutil.copytree(stdlib, place / "lib" / stdlib.name, ignore=skip)
    shutil.copytree(Path(sampan.__file__).parent, place / "src/sampan", ignore=skip)
    listing = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        name, _, found = line.strip().partition(" => ")
        if found and not name.startswith(("libc.", "libm.", "libdl.", "libpthread.", "libutil.", "librt.")):
            shutil.copy2(found.split()[0], place / "lib" / name)
    command = place / "sampan-runc"
    command.write_text(
        f"#!/bin/sh\nLD_LIBRARY_PATH={place}/lib exec {place}/bin/python3 -I -S "
        f'{place}/src/sampan/ocirun/__main__.py "$@"\n'
    )
    command.chmod(0o755)
    return command


class Engines:
    """A dockerd with our runtime registered, and podman beside it."""

    def __init__(self) -> None:
        self.peer = Peer()
        self.runtime = install(self.peer.state / "runtime")
        self.peer._flags = ("--add-runtime", f"sampan={self.runtime}")

    def start(self) -> None:
        self.peer.start()
        self.peer.load_busybox()

    def docker(self, *words: str, stdin: bytes | None = None) -> str:
        return self.peer.ok("run", "--rm", "--runtime", "sampan", "--network", "none", *words, stdin=stdin)

    def podman(self, *words: str, stdin: bytes | None = None) -> str:
        state = self.peer.state
        options = [
            "--root", f"{state}/podman", "--runroot", f"{state}/podman-run", "--tmpdir", f"{state}/podman-tmp",
            "--cgroup-manager", "cgroupfs", "--storage-driver", "vfs", "--runtime", str(self.runtime),
        ]  # fmt: skip
        result = run(list(self.peer.inside("podman", *options, *words)), stdin=stdin, timeout=120)
        assert result.status == 0, result
        return result.out.rstrip("\n")


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    made = Engines()
    made.start()
    yield made
    made.peer.close()


def test_dockerd_runs_execs_and_stops_with_us(engines: Engines) -> None:
    assert engines.docker("busybox", "sh", "-c", "hostname | wc -c; id -u; cat /proc/1/comm; true").split() == [
        "13",
        "0",
        "sh",
    ]
    assert engines.docker("-i", "busybox", "cat", stdin=b"through\n") == "through"
    limited = engines.docker("-m", "64m", "--pids-limit", "9", "busybox", "cat", "/sys/fs/cgroup/pids/pids.max")
    assert limited == "9"
    container_id = engines.peer.ok("run", "-d", "--runtime", "sampan", "--network", "none", "busybox", "sleep", "600")
    assert engines.peer.ok("exec", "-u", "1:2", container_id, "id", "-u") == "1"
    engines.peer.ok("pause", container_id)
    assert engines.peer.ok("inspect", "-f", "{{.State.Status}}", container_id) == "paused"
    engines.peer.ok("unpause", container_id)
    engines.peer.ok("update", "--pids-limit", "5", container_id)
    assert engines.peer.ok("exec", container_id, "cat", "/sys/fs/cgroup/pids/pids.max") == "5"
    engines.peer.ok("rm", "-f", container_id)


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["nosuch"], 127, "executable file not found in $PATH"),
        (["/etc"], 126, "is a directory"),
        (["sh", "-c", "exit 9"], 9, ""),
    ],
)
def test_dockerd_gets_the_same_failures_as_from_runc(
    engines: Engines, words: list[str], status: int, text: str
) -> None:
    results = [
        engines.peer.docker("run", "--rm", "--network", "none", "--runtime", runtime, "busybox", *words)
        for runtime in ("runc", "sampan")
    ]
    assert [result.status for result in results] == [status, status]
    assert text in results[1].err and results[0].err == results[1].err


def test_podman_runs_and_execs_with_us(engines: Engines) -> None:
    engines.podman("import", "-c", "CMD=sh", "-", "busybox", stdin=busybox_rootfs())
    base = ["--network", "none", "--cgroup-parent", f"{CGROUP_PARENT}/podman"]
    assert engines.podman("run", "--rm", *base, "busybox", "/bin/sh", "-c", "echo from $$").split() == ["from", "1"]
    container_id = engines.podman("run", "-d", *base, "busybox", "/bin/sleep", "600")
    assert engines.podman("exec", container_id, "/bin/echo", "inside") == "inside"
    assert engines.podman("inspect", "-f", "{{.OCIRuntime}} {{.State.Status}}", container_id).endswith("running")
    engines.podman("rm", "-f", "-t", "0", container_id)
