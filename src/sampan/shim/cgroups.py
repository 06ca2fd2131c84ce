"""The container's control group, made before there is a container where that saves time."""

from __future__ import annotations

import os

from sampan.linux.cgroup import Cgroup, Hierarchy, named

PARKED = "parked-"


class ShimCgroup:
    """`name` (`cgroup.named`) is empty until the container's group is known.

    A parked child sits in a group of its own, named by `parked_name`, which the runtime renames to the container's:
    the first write to a v1 `cgroup.procs` after some idle time waits 6–14 ms for RCU.
    """

    def __init__(self) -> None:
        self.name = ""
        self._group: Cgroup | None = None

    def use(self, name: str) -> None:
        """The container's group is this one from here on; what its last run left there is removed first."""
        self._group = group = named(name)
        self.name = group.name
        if group.exists():
            group.kill()
            group.remove()

    def resume(self, name: str) -> None:
        """The container runs in this group already."""
        self._group = named(name)
        self.name = name

    def oom_killed(self, since: int) -> bool:
        return self._group is not None and self._group.oom_killed(since)

    def kill(self) -> None:
        """End whatever is still in the container's group."""
        if self._group is not None and self._group.pids():
            self._group.kill()

    def remove(self) -> None:
        """Remove the group; one that does not empty stays for the daemon's clean-up."""
        if self._group is not None:
            try:
                self._group.remove()
            except OSError:
                pass
            self._group = None


def parked_name(parent: str) -> str:
    """The group of this shim's parked child; below `parent`, because a v1 group can be renamed in its parent only.

    Empty where groups cannot be renamed: on v2, and where systemd makes them (no `parent`).
    """
    if not parent or Hierarchy.detect().version == 2:
        return ""
    return f"{parent.rstrip('/')}/{PARKED}{os.getpid()}"


def sweep(parent: str) -> None:
    """Remove the groups that killed parked shims left below `parent`."""
    for directory in set(Cgroup(parent).directories.values()):
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            continue
        for name in names:
            if name.startswith(PARKED) and not os.path.exists(f"/proc/{name.removeprefix(PARKED)}"):
                try:
                    os.rmdir(f"{directory}/{name}")
                except OSError:
                    continue  # still in use, or another daemon's sweep was faster


def enter(path: str) -> None:
    """Move this process into a group, away from its parent's limits; stays where that is not allowed."""
    group = Cgroup(path)
    try:
        group.create()
        group.add(os.getpid())
    except OSError:
        return


def remove_empty(path: str) -> None:
    """Remove a group when nobody is in it."""
    for directory in set(Cgroup(path).directories.values()):
        try:
            os.rmdir(directory)
        except OSError:
            continue  # in use by another zygote or its shims, or gone
