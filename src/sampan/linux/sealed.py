"""Running the interpreter from a read-only mount (rule S01).

A container's program can be a link to /proc/self/exe: execve then runs the engine's interpreter inside the container,
and a process that runs a file can later open it for writing by its /proc/<pid>/exe (CVE-2019-5736). A process that was
executed through a detached read-only mount passes that mount on: every such open fails with EROFS.
"""

from __future__ import annotations

import os
import sys

from . import mount

_EXE = "/proc/self/exe"


def is_sealed() -> bool:
    """Whether writing to this process's executable through /proc is impossible."""
    return bool(os.statvfs(_EXE).f_flag & os.ST_RDONLY)


def ensure(arguments: list[str] | None = None) -> None:
    """Execute this program anew, with its or other arguments, from a read-only copy of the interpreter's mount.

    Returns where it runs from one already, and where kernel or privileges do not allow it (Linux before 5.12, no
    CAP_SYS_ADMIN). To be called before anything else: nothing but the arguments and the environment is kept.
    """
    if is_sealed():
        return
    try:
        tree = mount.clone_tree(os.readlink(_EXE), recursive=False)
        mount.mount_setattr(tree, mount.MOUNT_ATTR_RDONLY | mount.MOUNT_ATTR_NOSUID)
        os.execv(f"/proc/self/fd/{tree}", [sys.executable, *(arguments or sys.orig_argv[1:])])
    except OSError:
        return
