"""Whether the machine's own mounts let a shared or slave bind do what it says."""

from __future__ import annotations

import os

from ..errors import InvalidArgument
from ..linux import mountinfo

_NEEDS = {"shared": ("shared:",), "slave": ("shared:", "master:")}


def check(source: str, propagation: str) -> None:
    """InvalidArgument with Docker's text where the mount that `source` lies on tells nobody of its changes."""
    kind = propagation.removeprefix("r")
    if kind not in _NEEDS:
        return
    place, tags = _mount_of(os.path.realpath(source))
    if not any(tag.startswith(_NEEDS[kind]) for tag in tags):
        wanted = "a shared mount" if kind == "shared" else "a shared or slave mount"
        raise InvalidArgument(f"path {source} is mounted on {place} but it is not {wanted}")


def _mount_of(path: str) -> tuple[str, list[str]]:
    """The mount point above a path, and how it propagates; of stacked ones the last."""
    found: tuple[str, list[str]] = ("/", [])
    for mount in mountinfo.mounts():
        if len(mount.place) >= len(found[0]) and f"{path}/".startswith(f"{mount.place.rstrip('/')}/"):
            found = mount.place, mount.tags
    return found
