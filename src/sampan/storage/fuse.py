"""fuse-overlayfs: overlay2's layout, shown by a program where the kernel's overlayfs cannot be mounted."""

from __future__ import annotations

import os
import shutil
import subprocess

from sampan.db import Database
from sampan.errors import InvalidArgument, SampanError
from sampan.linux.mount import MNT_DETACH, UMOUNT_NOFOLLOW, umount2

from .idmapped import Mapper
from .layers import Layers
from .overlay import Overlay
from .snapshotter import SnapshotInfo

PROGRAM = "fuse-overlayfs"


class FuseOverlay(Overlay):
    """The driver of last resort before vfs."""

    name = "fuse-overlayfs"
    markers = True

    def __init__(self, root: str, db: Database) -> None:
        if shutil.which(PROGRAM) is None:
            raise InvalidArgument(f"driver not supported: {self.name}: no program {PROGRAM} in PATH")
        super().__init__(root, db)

    def _test_mount(self, path: str) -> None:
        self._run([], f"{path}/diff", f"{path}/work", f"{path}/merged")
        umount2(f"{path}/merged", MNT_DETACH | UMOUNT_NOFOLLOW)

    def _mount_stack(self, info: SnapshotInfo, lowers: list[str], upper: str | None, work: str | None) -> None:
        self._run(lowers, upper, work, self._tree(info))

    def map_ids(self, mapper: Mapper) -> None:
        Layers.map_ids(self, mapper)  # the kernel does not map what a program shows

    def _view(self, lowers: list[str]) -> int:
        """Mounted for a moment; the open directory keeps it alive until it is closed."""
        target = f"{self.root}/view-{os.urandom(8).hex()}"
        os.mkdir(target, 0o700)
        try:
            self._run(lowers, None, None, target)
            try:
                return os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            finally:
                umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW)
        finally:
            os.rmdir(target)

    def _run(self, lowers: list[str], upper: str | None, work: str | None, target: str) -> None:
        options = [f"lowerdir={':'.join(lowers or [self._empty()])}"]
        if upper is not None and work is not None:
            options += [f"upperdir={upper}", f"workdir={work}"]
        command = [PROGRAM, "-o", ",".join(options), target]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SampanError(f"{' '.join(command)}: {done.stderr.strip()}")
