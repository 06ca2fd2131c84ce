"""What sampan-runc remembers of its containers.

<root>/<id>/            0700, default root /run/sampan-runc
  state.json            id, pid and its start time, bundle, cgroup, times
  config.json           the configuration as it was at creation
  start.sock            there as long as the container waits for `start`
<root>/seccomp/         compiled filters by digest
"""

from __future__ import annotations

import os
import time

from ..linux.cgroup import Cgroup, named
from ..rpc import documents
from .failure import RuntimeFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_ROOT = "/run/sampan-runc"
OCI_VERSION = "1.2.0"
_ID_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")


def start_time(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 for one that is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in "ZX" else int(fields[19])


def check_id(container_id: str) -> None:
    """Refuse an id that is not a plain file name."""
    if not container_id or set(container_id) - _ID_LETTERS or container_id in (".", ".."):
        raise RuntimeFailed("invalid container ID format")


class State:
    """One container's directory."""

    def __init__(self, root: str, container_id: str, record: dict[str, Any]) -> None:
        self.directory = f"{root}/{container_id}"
        self.id = container_id
        self.record = record

    @classmethod
    def create(cls, root: str, container_id: str) -> State:
        """Claim an id."""
        check_id(container_id)
        os.makedirs(root, 0o711, exist_ok=True)
        try:
            os.mkdir(f"{root}/{container_id}", 0o700)
        except FileExistsError:
            raise RuntimeFailed("container with given ID already exists") from None
        return cls(root, container_id, {})

    @classmethod
    def load(cls, root: str, container_id: str) -> State:
        """An existing container."""
        check_id(container_id)
        try:
            return cls(root, container_id, documents.read(f"{root}/{container_id}/state.json"))
        except FileNotFoundError:
            raise RuntimeFailed("container does not exist") from None

    def fill(self, pid: int, bundle: str, spec: dict[str, Any], text: str, cgroup: str) -> None:
        """Record a created container; `text` is its configuration as it was read."""
        now = time.time_ns()
        date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9))
        self.record = {
            "pid": pid,
            "startTime": start_time(pid),
            "bundle": bundle,
            "rootfs": os.path.realpath(os.path.join(bundle, spec["root"]["path"])),
            "created": f"{date}.{now % 10**9:09d}Z",
            "cgroup": cgroup,
            "annotations": spec.get("annotations") or {},
        }
        self._write("config.json", text)
        self._write("state.json", documents.dumps(self.record))

    def _write(self, name: str, text: str) -> None:
        path = f"{self.directory}/{name}"
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(f"{path}.new", path)

    def spec(self) -> dict[str, Any]:
        """The configuration at creation."""
        found: dict[str, Any] = documents.read(f"{self.directory}/config.json")
        return found

    @property
    def pid(self) -> int:
        """Process 1's pid, whether or not it still runs."""
        return int(self.record.get("pid", 0))

    @property
    def cgroup(self) -> Cgroup | None:
        """Its control group, None for a rootless container without one."""
        return named(self.record["cgroup"]) if self.record.get("cgroup") else None

    @property
    def start_socket(self) -> str:
        """Where `start` connects to."""
        return f"{self.directory}/start.sock"

    def is_alive(self) -> bool:
        """Whether process 1 is still the one that was made."""
        return bool(self.pid) and start_time(self.pid) == self.record["startTime"]

    def open_process(self) -> int:
        """A pidfd of process 1; ProcessLookupError once that has ended, whoever has its number now."""
        pidfd = os.pidfd_open(self.pid)
        if not self.is_alive():
            os.close(pidfd)
            raise ProcessLookupError(f"container {self.id} has ended")
        return pidfd

    def status(self) -> str:
        """created, running, paused or stopped."""
        if not self.is_alive():
            return "stopped"
        if os.path.exists(self.start_socket):
            return "created"
        group = self.cgroup
        return "paused" if group and group.is_frozen() else "running"

    def document(self) -> dict[str, Any]:
        """What the `state` command shows (runtime.md, «State»)."""
        status = self.status()
        found = {
            "ociVersion": OCI_VERSION,
            "id": self.id,
            "pid": self.pid if status != "stopped" else 0,
            "status": status,
            "bundle": self.record["bundle"],
            "rootfs": self.record["rootfs"],
            "created": self.record["created"],
        }
        if self.record["annotations"]:
            found["annotations"] = self.record["annotations"]
        return {**found, "owner": ""}

    def remove(self) -> None:
        """Forget the container; nothing where it is forgotten already."""
        check_id(self.id)
        try:
            for name in os.listdir(self.directory):
                os.unlink(f"{self.directory}/{name}")
            os.rmdir(self.directory)
        except FileNotFoundError:
            pass  # another `delete` was faster


def all_states(root: str) -> list[State]:
    """Every container below a root, by id."""
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        try:
            found.append(State.load(root, name))
        except RuntimeFailed:
            continue  # our own directory of filters, or a container that is just being made or deleted
    return found
