"""What a creation that fails leaves open, and that it ends."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from sampan import ocirun
from sampan.linux.fds import open_fds
from sampan.ocirun import hooks
from sampan.ocirun.failure import RuntimeFailed
from sampan.ocirun.init import main
from sampan.ocirun.namespaces import Namespaces, spawn_joined


def test_a_bind_mount_whose_source_is_missing_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "rootfs").mkdir()
    binds = [{"source": str(source), "destination": "/mnt", "type": "bind"} for source in (tmp_path, tmp_path / "none")]
    spec = {"root": {"path": "rootfs"}, "mounts": binds, "linux": {"namespaces": [{"type": "user"}]}}
    null = os.open(os.devnull, os.O_RDWR)
    before = open_fds()
    with pytest.raises((ocirun.RuntimeFailed, OSError)):
        ocirun.create(spec, str(tmp_path), stdin=null, stdout=null, stderr=null, console=False)
    assert open_fds() == before
    os.close(null)


def test_a_hook_that_is_not_there_leaves_nothing_open() -> None:
    before = open_fds()
    with pytest.raises(RuntimeFailed, match="hook #0"):
        hooks.run([{"path": "/no/such/hook"}], "{}")
    assert open_fds() == before


def test_a_process_that_dies_while_it_joins_namespaces_is_not_waited_for() -> None:
    wanted = Namespaces({"namespaces": [{"type": "time"}]})
    signal.alarm(20)  # the default action ends the test run: nothing else would end the wait
    with pytest.raises(RuntimeFailed, match="ended early"):
        spawn_joined(wanted, {"monotonic": None}, main)  # type: ignore[dict-item] # what is not checked before
    signal.alarm(0)
