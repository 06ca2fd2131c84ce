"""The registry server as an image of our own builder, run as people run registry:2."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from ..support.daemon import Daemon
from ..support.hosts import run

EXAMPLE = Path(__file__).parents[2] / "examples/registry"


def test_a_registry_in_a_container(daemon: Daemon, name: str, tmp_path: Path) -> None:
    shutil.copy(EXAMPLE / "Dockerfile", tmp_path)
    subprocess.run([sys.executable, EXAMPLE / "context.py", tmp_path / "rootfs"], check=True)
    built = daemon.sampan("build", "-q", "-t", f"{name}-server", str(tmp_path), timeout=240)
    assert built.status == 0, built

    def begin() -> str:
        """A container on the volume; returns where it can be reached."""
        words = ("-d", "--name", name, "-p", "127.0.0.1::5000", "-v", f"{name}:/var/lib/sampan-registry")
        daemon.ok("run", *words, f"{name}-server")
        address = daemon.ok("port", name, "5000")
        ready = ("curl", "-sf", "--retry", "100", "--retry-delay", "1", "--retry-all-errors", f"http://{address}/v2/")
        assert run(daemon.host.command(*ready), timeout=120).status == 0, daemon.docker("logs", name)
        return address

    first = begin()
    daemon.ok("tag", "busybox", f"{first}/box:1")
    pushed = daemon.ok("push", f"{first}/box:1", timeout=120)
    digest = pushed.partition("digest: ")[2].split()[0]
    daemon.ok("rm", "-f", name)
    daemon.ok("rmi", f"{first}/box:1")
    second = begin()
    assert f"Digest: {digest}" in daemon.ok("pull", f"{second}/box:1", timeout=120)
    assert daemon.ok("run", "--rm", f"{second}/box:1", "echo", "from the volume") == "from the volume"
    daemon.ok("rm", "-f", name)
    daemon.ok("rmi", f"{second}/box:1", f"{name}-server")
    daemon.ok("volume", "rm", name)
