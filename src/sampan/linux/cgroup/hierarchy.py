"""Which cgroup hierarchies are mounted, and where: cgroups(7)."""

from __future__ import annotations

from ..mountinfo import OURS, mounts

V1_CONTROLLERS = (
    "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "net_cls", "net_prio",
    "perf_event", "rdma", "misc",
)  # fmt: skip


class Hierarchy:
    """`version` 1 or 2; `hybrid`: v1 with a v2 mount beside it, at `unified`; `mounts`: controller → mount point.

    On v1 `mounts` has the mounted controllers and `name=systemd`; on v2 every controller is at the same place.
    """

    __slots__ = ("hybrid", "mounts", "unified", "version")
    _present: Hierarchy | None = None

    def __init__(self, mounts: dict[str, str], unified: str) -> None:
        self.version = 1 if mounts else 2
        self.hybrid = bool(mounts and unified)
        self.unified = unified
        self.mounts = mounts or dict.fromkeys(_v2_controllers(unified), unified)

    @classmethod
    def detect(cls, mountinfo: str = OURS) -> Hierarchy:
        """What is mounted now; read once per process, for hierarchies do not come and go."""
        if cls._present is None or mountinfo != OURS:
            found = cls(*_parse(mountinfo))
            if mountinfo != OURS:
                return found
            cls._present = found
        return cls._present

    def directories(self, path: str) -> dict[str, str]:
        """Controller → directory of a cgroup; on v2 the one directory under the key ""."""
        if self.version == 2:
            return {"": f"{self.unified}{path}"}
        return {controller: f"{mount}{path}" for controller, mount in self.mounts.items()}


def _parse(mountinfo: str) -> tuple[dict[str, str], str]:
    found: dict[str, str] = {}
    unified = ""
    for mount in mounts(mountinfo, " - cgroup"):
        if mount.kind == "cgroup2":
            unified = unified or mount.place
        elif mount.kind == "cgroup":
            for controller in _controllers(mount.options):
                found.setdefault(controller, mount.place)
    return found, unified


def _controllers(options: str) -> list[str]:
    return [option for option in options.split(",") if option in V1_CONTROLLERS or option == "name=systemd"]


def _v2_controllers(unified: str) -> list[str]:
    try:
        with open(f"{unified}/cgroup.controllers", encoding="utf-8") as file:
            return file.read().split()
    except FileNotFoundError:
        return []  # no cgroup file system at all
