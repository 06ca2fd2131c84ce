"""What a creation that fails leaves open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sampan import ocirun
from sampan.linux.fds import open_fds


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
