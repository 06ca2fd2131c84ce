"""Makes a container's working directory in its file system, as Docker does, without leaving that file system (S06)."""

from __future__ import annotations

import os

from ..errors import InvalidArgument
from ..linux.openat2 import make_directories


def ensure(rootfs: str, path: str) -> None:
    """Make `path` below `rootfs` where it is missing; InvalidArgument where something else is there."""
    if path.strip("/") == "":
        return
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(make_directories(root, path))
    except NotADirectoryError:
        raise InvalidArgument(f"Cannot mkdir: {path} is not a directory") from None
    finally:
        os.close(root)
