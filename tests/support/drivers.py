"""Where each storage driver can be tested on this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sampan.linux.mount import mount, umount2
from sampan.volume import loop

PROBES = {
    "btrfs": shutil.which("mkfs.btrfs") is not None and "btrfs" in Path("/proc/filesystems").read_text(),
    "fuse-overlayfs": shutil.which("fuse-overlayfs") is not None and os.path.exists("/dev/fuse"),
}


def needs(name: str) -> pytest.MarkDecorator:
    """A skip mark where the machine lacks what the driver lies on."""
    return pytest.mark.skipif(not PROBES.get(name, True), reason=f"{name} is not there")


@contextmanager
def root_for(name: str, tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system that the driver can use."""
    root = tmp_path / "snapshots"
    root.mkdir()
    if name != "btrfs":
        yield root
        return
    image = tmp_path / "btrfs.image"
    with open(image, "wb") as file:
        file.truncate(160 << 20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True)
    device, fd = loop.attach(str(image))
    mount(device, str(root), "btrfs")
    os.close(fd)
    try:
        yield root
    finally:
        umount2(str(root))
