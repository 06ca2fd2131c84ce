"""The namespaces of an OCI configuration, and the process that starts in them."""

from __future__ import annotations

import os

from ..linux import namespaces as ns
from ..linux import pidfd as pidfds
from .channel import Channel, Closed
from .failure import RuntimeFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

KINDS = {
    "user": ns.CLONE_NEWUSER,
    "pid": ns.CLONE_NEWPID,
    "network": ns.CLONE_NEWNET,
    "ipc": ns.CLONE_NEWIPC,
    "uts": ns.CLONE_NEWUTS,
    "cgroup": ns.CLONE_NEWCGROUP,
    "time": ns.CLONE_NEWTIME,
    "mount": ns.CLONE_NEWNS,
}
"""OCI's word → flag, in the order of joining: the user namespace gives the privileges for the others."""

DEFAULT = ns.CLONE_NEWPID | ns.CLONE_NEWNET | ns.CLONE_NEWIPC | ns.CLONE_NEWUTS | ns.CLONE_NEWNS

# These take effect for children only, or change what the others may do: a process in between joins them.
_BEFORE_FORK = ns.CLONE_NEWUSER | ns.CLONE_NEWPID | ns.CLONE_NEWTIME | ns.CLONE_NEWNS


class Namespaces:
    """`new`: CLONE_NEW* to be made; `paths`: (flag, path) to be joined, in order; what is in neither is the host's."""

    __slots__ = ("new", "paths")

    def __init__(self, linux: dict[str, Any]) -> None:
        given = {entry["type"]: entry.get("path") or "" for entry in linux.get("namespaces") or ()}
        unknown = set(given) - set(KINDS)
        if unknown:
            raise RuntimeFailed(f"unknown namespace type {sorted(unknown)[0]!r}")
        self.new = 0
        self.paths: list[tuple[int, str]] = []
        for kind, flag in KINDS.items():
            if given.get(kind):
                self.paths.append((flag, given[kind]))
            elif kind in given:
                self.new |= flag

    @property
    def needs_intermediate(self) -> bool:
        """Whether another process must join namespaces before the container's is made."""
        joined = sum(flag for flag, _ in self.paths)
        return bool(joined & _BEFORE_FORK or self.new & ns.CLONE_NEWTIME or (joined and self.new & ns.CLONE_NEWUSER))

    def has(self, flag: int) -> bool:
        """Whether the container gets a namespace of this kind that is not (known to be) the host's."""
        return bool(self.new & flag or any(kind == flag for kind, _ in self.paths))


def join(paths: list[tuple[int, str]]) -> None:
    """Join namespaces by path."""
    for flag, path in paths:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            ns.setns(fd, flag)
        finally:
            os.close(fd)


def spawn(flags: int, main: Callable[[Channel], NoReturn], cgroup_fd: int = -1) -> tuple[int, int, Channel]:
    """Clone a process into fresh namespaces that runs `main`; (pid, pidfd, our end of its channel)."""
    ours, theirs = Channel.pair()
    # The cgroup namespace's root is the cgroup of the caller: it is unshared once the process has been moved.
    pid, pidfd = ns.clone(flags & ~ns.CLONE_NEWCGROUP, cgroup_fd)
    if pid == 0:
        ours.close()
        main(theirs)
    theirs.close()
    return pid, pidfd, ours


def spawn_joined(
    wanted: Namespaces, offsets: dict[str, dict[str, int]], main: Callable[[Channel], NoReturn]
) -> tuple[int, int, Channel]:
    """As `spawn`, from a process in between that joins namespaces first and leaves the new one to its parent."""
    ours, theirs = Channel.pair()
    pid, pidfd = ns.clone(0)
    if pid == 0:
        ours.close()
        _intermediate(wanted, offsets, main, theirs)
    theirs.close()
    try:
        message, _ = ours.receive()
    except Closed:
        message = "the process that joins namespaces ended early"
    pidfds.wait(pidfd)
    os.close(pidfd)
    if isinstance(message, str):
        ours.close()
        raise RuntimeFailed(message)
    return message, os.pidfd_open(message), ours


def _intermediate(
    wanted: Namespaces, offsets: dict[str, dict[str, int]], main: Callable[[Channel], NoReturn], channel: Channel
) -> NoReturn:
    try:
        join(wanted.paths)
        if wanted.new & ns.CLONE_NEWTIME:
            ns.unshare(ns.CLONE_NEWTIME)
            _write_offsets(offsets)
        flags = wanted.new & ~(ns.CLONE_NEWCGROUP | ns.CLONE_NEWTIME)
        pid, _ = ns.clone(flags | ns.CLONE_PARENT)
        if pid == 0:
            main(channel)
        channel.send(pid)
    except OSError as error:
        channel.send(f"unable to join namespaces: {error}")
    finally:
        os._exit(0)


def _write_offsets(offsets: dict[str, dict[str, int]]) -> None:
    # time_namespaces(7): writable until the first process is in the new namespace.
    if not offsets:
        return
    lines = [f"{clock} {value.get('secs', 0)} {value.get('nanosecs', 0)}\n" for clock, value in offsets.items()]
    with open("/proc/self/timens_offsets", "w", encoding="utf-8") as file:
        file.write("".join(lines))


def map_ids(pid: int, linux: dict[str, Any]) -> None:
    """Write the id maps of a process in a new user namespace: user_namespaces(7)."""
    uids, gids = _lines(linux.get("uidMappings")), _lines(linux.get("gidMappings"))
    if os.geteuid() != 0:
        _map_unprivileged(pid, uids, gids)
        return
    _write(f"/proc/{pid}/uid_map", "".join(f"{line}\n" for line in uids))
    _write(f"/proc/{pid}/gid_map", "".join(f"{line}\n" for line in gids))


def _map_unprivileged(pid: int, uids: list[str], gids: list[str]) -> None:
    if len(uids) == 1 and uids[0].endswith(" 1"):
        _write(f"/proc/{pid}/uid_map", f"{uids[0]}\n")
        _write(f"/proc/{pid}/setgroups", "deny")
        _write(f"/proc/{pid}/gid_map", f"{gids[0]}\n")
        return
    for program, lines in (("newuidmap", uids), ("newgidmap", gids)):
        helper = os.posix_spawnp(program, [program, str(pid), *" ".join(lines).split()], {})
        if pidfds.wait_pid(helper):
            raise RuntimeFailed(f"{program} failed to map ids of process {pid}")


def _lines(mappings: list[dict[str, int]] | None) -> list[str]:
    if not mappings:
        raise RuntimeFailed("user namespaces enabled, but no mappings found")
    return [f"{entry['containerID']} {entry['hostID']} {entry['size']}" for entry in mappings]


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
