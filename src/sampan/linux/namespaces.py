"""Namespaces: clone3(2), unshare(2), setns(2)."""

from __future__ import annotations

import os

from . import cdata
from .libc import check, libc, locked_libc, locked_syscall
from .signals import SIGCHLD

CLONE_PIDFD = 0x00001000
CLONE_PARENT = 0x00008000
CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
CLONE_INTO_CGROUP = 0x200000000

FILES = {
    CLONE_NEWUSER: "user",
    CLONE_NEWPID: "pid",
    CLONE_NEWNET: "net",
    CLONE_NEWIPC: "ipc",
    CLONE_NEWUTS: "uts",
    CLONE_NEWCGROUP: "cgroup",
    CLONE_NEWTIME: "time",
    CLONE_NEWNS: "mnt",
}
"""The name of each kind below /proc/<pid>/ns; user first and mnt last, the order in which they are joined."""


class _CloneArgs(cdata.Structure):
    _fields_ = (
        ("flags", cdata.c_uint64),
        ("pidfd", cdata.c_uint64),
        ("child_tid", cdata.c_uint64),
        ("parent_tid", cdata.c_uint64),
        ("exit_signal", cdata.c_uint64),
        ("stack", cdata.c_uint64),
        ("stack_size", cdata.c_uint64),
        ("tls", cdata.c_uint64),
        ("set_tid", cdata.c_uint64),
        ("set_tid_size", cdata.c_uint64),
        ("cgroup", cdata.c_uint64),
    )


def clone(flags: int, cgroup_fd: int = -1) -> tuple[int, int]:
    """clone3(2) without a new stack, like fork: `(pid, pidfd)` in the parent, `(0, -1)` in the child.

    `cgroup_fd` is a cgroup v2 directory to start in (CLONE_INTO_CGROUP). The child is a whole Python process that may
    use the interpreter; only this thread exists in it.
    """
    pidfd = cdata.c_int(-1)
    arguments = _CloneArgs(flags=flags | CLONE_PIDFD, pidfd=cdata.addressof(pidfd))
    # CLONE_PARENT keeps the exit signal of the sibling and refuses another (clone(2), EINVAL).
    arguments.exit_signal = 0 if flags & CLONE_PARENT else SIGCHLD
    if cgroup_fd >= 0:
        arguments.flags |= CLONE_INTO_CGROUP
        arguments.cgroup = cgroup_fd
    locked_libc.PyOS_BeforeFork()
    try:
        pid = locked_syscall("clone3", cdata.byref(arguments), cdata.sizeof(arguments))
    except OSError:
        locked_libc.PyOS_AfterFork_Parent()
        raise
    if pid == 0:
        locked_libc.PyOS_AfterFork_Child()
        return 0, -1
    locked_libc.PyOS_AfterFork_Parent()
    return pid, pidfd.value


def unshare(flags: int) -> None:
    """unshare(2)."""
    check(libc.unshare(flags), "unshare")


def setns(fd: int, flags: int = 0) -> None:
    """setns(2): `fd` is of a /proc/<pid>/ns file, or a pidfd with the kinds to join in `flags` (Linux 5.8)."""
    check(libc.setns(fd, flags), "setns")


def open_namespace(pid: int | str, kind: int) -> int:
    """An fd of one namespace of a process; `pid` may be "self"."""
    return os.open(f"/proc/{pid}/ns/{FILES[kind]}", os.O_RDONLY | os.O_CLOEXEC)


def differing(pid: int) -> int:
    """The kinds of namespace in which a process is not where the caller is, as CLONE_NEW* flags."""
    flags = 0
    for kind, name in FILES.items():
        try:
            if os.stat(f"/proc/{pid}/ns/{name}").st_ino != os.stat(f"/proc/self/ns/{name}").st_ino:
                flags |= kind
        except FileNotFoundError:
            continue  # a kind that this kernel lacks (time before 5.6), unless the process itself is gone
    if not flags and not os.path.exists(f"/proc/{pid}"):
        raise ProcessLookupError(3, "No such process", f"/proc/{pid}")
    return flags
