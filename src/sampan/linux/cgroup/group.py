"""One control group in all hierarchies."""

from __future__ import annotations

import errno
import os
import select
import time

from . import devices, files, v1, v2
from .hierarchy import Hierarchy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .files import Read
    from .stats import CgroupStat

_REMOVE_SECONDS = 2.0
_THAW_SECONDS = 2.0


class Cgroup:
    """A control group by its path below every hierarchy's mount; making the object touches nothing.

    `name` is what `cgroup.named` finds it by.
    """

    __slots__ = ("directories", "hierarchy", "name", "path")

    def __init__(self, path: str, hierarchy: Hierarchy | None = None) -> None:
        self.name = self.path = "/" + path.strip("/")
        self.hierarchy = hierarchy or Hierarchy.detect()
        self.directories = self.hierarchy.directories(self.path)

    @classmethod
    def of_process(cls, pid: int) -> Cgroup:
        """The v2 group that a process is in."""
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:  # cgroups(7): "0::/path"
            return cls(next(line for line in file if line.startswith("0::"))[3:].rstrip("\n"))

    def create(self) -> None:
        """Make the group (and its parents) where it is missing."""
        if self.hierarchy.version == 2:
            v2.create(self.hierarchy.unified, self.path)
            return
        for controller, directory in self.directories.items():
            v1.create(controller, self.hierarchy.mounts[controller], directory)

    def open_new(self) -> int:
        """Make the group and open it for `clone`; -1 where a process can only enter it later (v1)."""
        if self.hierarchy.version == 1:
            return -1
        self.create()
        return self.open()

    def open(self) -> int:
        """An fd to clone a process into the group with (CLONE_INTO_CGROUP); -1 on v1.

        A process that enters a v2 group itself waits 12 ms for RCU, as `enter` tells of v1's cgroup.procs.
        """
        if self.hierarchy.version == 1:
            return -1
        return os.open(self.directories[""], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def start(self, pid: int, resources: dict[str, Any]) -> bool:
        """Make the group for a process; whether that is in it already. Limits are for `apply` to set."""
        self.create()
        return False

    def exists(self) -> bool:
        """Whether the group is there (in the hierarchy that lists processes)."""
        return os.path.isdir(self._listing())

    def apply(self, resources: dict[str, Any]) -> list[str]:
        """Set limits from OCI `linux.resources`; the warnings about what this kernel lacks."""
        if self.hierarchy.version == 2:
            return v2.apply(self.directories[""], resources)
        warnings = v1.apply(self.directories, resources)
        if resources.get("devices") and "devices" in self.directories:
            devices.apply_v1(self.directories["devices"], resources["devices"])
        return warnings

    def update(self, resources: dict[str, Any]) -> list[str]:
        """As `apply`, for a group that is in use."""
        return self.apply(resources)

    def add(self, pid: int) -> None:
        """Move a process into the group."""
        for directory in self.directories.values():
            files.write(directory, "cgroup.procs", pid)

    def enter(self) -> None:
        """Move the calling process, which has one thread, into the group.

        On v1 this is the cheap way: writing another's pid, or to cgroup.procs, takes a lock whose first user after
        20 ms of idleness waits for an RCU grace period (6-14 ms); one thread that moves itself does not take it
        (cgroup_procs_write_start in kernel/cgroup/cgroup.c).
        """
        name = "tasks" if self.hierarchy.version == 1 else "cgroup.procs"
        for directory in self.directories.values():
            files.write(directory, name, 0)

    def rename(self, new: str) -> Cgroup:
        """Give the group another last component (v1 only: v2 has no rename); the group under its new path."""
        renamed = Cgroup(new, self.hierarchy)
        for controller, directory in self.directories.items():
            os.rename(directory, renamed.directories[controller])
        return renamed

    def pids(self, recursive: bool = True) -> list[int]:
        """The processes in the group and, by default, in the groups below it."""
        found: list[int] = []
        for directory in _tree(self._listing()) if recursive else [self._listing()]:
            try:
                found.extend(map(int, files.read(directory, "cgroup.procs").split()))
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENODEV):
                    raise  # those two: the group was removed in between
        return found

    def signal(self, signo: int) -> None:
        """Send a signal to every process in the group."""
        for pid in self.pids():
            try:
                os.kill(pid, signo)
            except ProcessLookupError:
                continue  # it ended in between

    def kill(self) -> None:
        """SIGKILL to all, also to those that are forked meanwhile; returns before they have ended."""
        if self.hierarchy.version == 2 and files.exists(self.directories[""], "cgroup.kill"):
            files.write(self.directories[""], "cgroup.kill", 1)
            return
        seen: set[int] = set()
        while fresh := [pid for pid in self.pids() if pid not in seen]:
            seen.update(fresh)
            for pid in fresh:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    continue
        self._thaw_killed()

    def _thaw_killed(self) -> None:
        # A frozen v1 group does not act on SIGKILL until it is thawed.
        if self.is_frozen():
            self.thaw()

    def freeze(self) -> None:
        """Stop all processes of the group, children of the future too; returns when they are stopped."""
        self._set_frozen(True)

    def thaw(self) -> None:
        """Let them go on; nothing where the group is gone, for frozen processes of v2 die of SIGKILL as they are."""
        try:
            self._set_frozen(False)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise

    def is_frozen(self) -> bool:
        """Whether the group is frozen."""
        try:
            if self.hierarchy.version == 2:
                return files.read(self.directories[""], "cgroup.freeze") == "1"
            return files.read(self.directories["freezer"], "freezer.state") != "THAWED"
        except (FileNotFoundError, KeyError):
            return False

    def _set_frozen(self, frozen: bool) -> None:
        if self.hierarchy.version == 2:
            files.write(self.directories[""], "cgroup.freeze", int(frozen))
            self._await_events("frozen", str(int(frozen)))
            return
        directory = self.directories["freezer"]
        wanted = "FROZEN" if frozen else "THAWED"
        deadline = time.monotonic() + _THAW_SECONDS
        while True:
            # cgroup-v1/freezer: FREEZING may last while a task forks; writing again continues it.
            files.write(directory, "freezer.state", wanted)
            if files.read(directory, "freezer.state") == wanted:
                return
            if time.monotonic() > deadline:
                files.write(directory, "freezer.state", "THAWED")
                raise TimeoutError(errno.ETIMEDOUT, "unable to freeze", directory)
            time.sleep(0.001)

    def _await_events(self, key: str, value: str) -> None:
        # cgroup-v2: a change of cgroup.events is a POLLPRI.
        fd = os.open(f"{self.directories['']}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        try:
            deadline = time.monotonic() + _THAW_SECONDS
            while f"{key} {value}" not in os.pread(fd, 4096, 0).decode().splitlines():
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, f"cgroup is not {key} {value}", self.path)
                poll.poll(100)
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Remove the group and those below it; waits a little for processes that are just ending."""
        for directory in set(self.directories.values()):
            for below in reversed(list(_tree(directory))):
                _rmdir(below)

    def oom_count(self) -> int:
        """How often the OOM killer chose a process of the group."""
        if self.hierarchy.version == 2:
            return files.read_pairs(self.directories[""], "memory.events").get("oom_kill", 0)
        if "memory" not in self.directories:
            return 0
        return files.read_pairs(self.directories["memory"], "memory.oom_control").get("oom_kill", 0)

    def oom_killed(self, since: int) -> bool:
        """Whether it chose one since a time (ns since the epoch), by when the group was new."""
        return self.oom_count() > 0

    def stat(self, read: Read = files.read) -> CgroupStat:
        """Usage figures of the group; `read` is how a file is read, for who looks time and again (`files.Opened`)."""
        from . import stats  # not needed to start a container

        return stats.read(self.directories, self.hierarchy.version, read)

    def _listing(self) -> str:
        for controller in ("pids", "freezer", "devices", "name=systemd"):
            if controller in self.directories:
                return self.directories[controller]
        return next(iter(self.directories.values()))


def _tree(directory: str) -> Iterator[str]:
    """A cgroup directory and all below it, parents first."""
    yield directory
    try:
        with os.scandir(directory) as entries:
            below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return  # it was removed in between (ENOENT, ENODEV)
    for path in below:
        yield from _tree(path)


def _rmdir(directory: str) -> None:
    deadline = time.monotonic() + _REMOVE_SECONDS
    delay = 0.001
    while True:
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            return
        except OSError as error:
            # EBUSY: the last process has been reaped but not yet left; the kernel tells nobody when.
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(delay)
            delay = min(delay * 2, 0.05)
        else:
            return
