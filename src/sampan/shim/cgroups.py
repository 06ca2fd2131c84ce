"""The container's control group, made before there is a container where that saves time."""

from __future__ import annotations

import os

from sampan.linux.cgroup import Cgroup, Hierarchy

PARKED = "parked-"


class ShimCgroup:
    """`path` is empty until the container's group is known.

    The first write to a v1 `cgroup.procs` after some idle time waits 6–14 ms for RCU, so a parked child is put into a
    group of its own beforehand; a v1 group can be renamed inside its parent. v2 cannot rename and starts children in
    their group (CLONE_INTO_CGROUP).
    """

    def __init__(self, parent: str) -> None:
        self.parent = parent.rstrip("/")
        self.path = ""
        self._parked: Cgroup | None = None
        self._group: Cgroup | None = None

    def park(self, pid: int) -> None:
        """Put a parked child into a group that waits for its name."""
        if Hierarchy.detect().version == 1:
            self._parked = Cgroup(f"{self.parent}/{PARKED}{os.getpid()}")
            self._parked.create()
            self._parked.add(pid)

    def use(self, path: str) -> bool:
        """The container's group is `path` from here on; whether the parked child is in it already."""
        group = Cgroup(path)
        self._group, self.path = group, group.path
        parked, self._parked = self._parked, None
        if parked is None:
            return False
        if os.path.dirname(group.path) != self.parent:
            _remove_emptied(parked, group)
            return False
        if group.exists():
            group.remove()  # the last run's, whose shim was killed
        parked.rename(group.path)
        return True

    def use_external(self, path: str) -> None:
        """An external runtime makes the group."""
        self._group = Cgroup(path)
        self.path = self._group.path

    def oom_killed(self) -> bool:
        try:
            return self._group is not None and self._group.oom_count() > 0
        except FileNotFoundError:
            return False

    def kill(self) -> None:
        """End whatever is still in the container's group."""
        if self._group is not None and self._group.pids():
            self._group.kill()

    def remove(self) -> None:
        """Remove the groups; one that does not empty stays for the daemon's clean-up."""
        for group in (self._parked, self._group):
            if group is not None:
                try:
                    group.remove()
                except OSError:
                    continue
        self._parked = self._group = None


def _remove_emptied(parked: Cgroup, group: Cgroup) -> None:
    group.create()
    for pid in parked.pids():
        group.add(pid)
    parked.remove()


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
