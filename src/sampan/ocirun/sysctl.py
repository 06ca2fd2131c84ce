"""Kernel parameters of the container's own namespaces."""

from __future__ import annotations

import os

from ..linux import namespaces as ns
from ..linux.libc import PROC_SUPER_MAGIC, filesystem_type
from ..linux.openat2 import O_PATH, RESOLVE_BENEATH, RESOLVE_NO_XDEV, openat2
from .failure import RuntimeFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .namespaces import Namespaces

_IPC = (
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax",
    "kernel.shmmni", "kernel.shm_rmid_forced",
)  # fmt: skip


_REFUSED = {
    ns.CLONE_NEWIPC: 'sysctl "{name}" is not allowed in the hosts ipc namespace',
    ns.CLONE_NEWNET: 'sysctl "{name}" not allowed in host network namespace',
    ns.CLONE_NEWUTS: 'sysctl "{name}" not allowed in host UTS namespace',
    ns.CLONE_NEWUSER: 'sysctl "{name}" not allowed in host user namespace',
}


def check(values: dict[str, str], namespaces: Namespaces) -> None:
    """Refuse what would change the host, with runc's words."""
    for name in values:
        dotted = name if "." in name.split("/")[0] else name.replace("/", ".")
        if dotted in _IPC or dotted.startswith("fs.mqueue."):
            needed = ns.CLONE_NEWIPC
        elif dotted.startswith("net."):
            needed = ns.CLONE_NEWNET
        elif dotted in ("kernel.domainname", "kernel.hostname"):
            needed = ns.CLONE_NEWUTS
        elif dotted.startswith("user."):
            needed = ns.CLONE_NEWUSER
        else:
            raise RuntimeFailed(f'sysctl "{name}" is not in a separate kernel namespace')
        if not namespaces.has(needed):
            raise RuntimeFailed(_REFUSED[needed].format(name=name))


def apply(root: int, values: dict[str, str]) -> None:
    """Write them through the container's procfs, checked to be one (rule S05)."""
    if not values:
        return
    proc = os.open("proc", O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    if filesystem_type(proc) != PROC_SUPER_MAGIC:
        os.close(proc)
        proc = os.open("/proc", O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # the host's: sysctls follow the writer
    try:
        for name, value in values.items():
            _write(proc, name, value)
    finally:
        os.close(proc)


def _write(proc: int, name: str, value: str) -> None:
    # "net.ipv4.conf.eth0/1.forwarding": the first separator decides (sysctl.d(5)).
    swap = str.maketrans("./", "/.")
    path = f"sys/{name.translate(swap) if '.' in name.split('/')[0] else name}"
    try:
        fd = openat2(proc, path, os.O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV)
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise RuntimeFailed(f"open sysctl {name} file: open /proc/{path}: {reason}") from error
    try:
        os.write(fd, value.encode())
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise RuntimeFailed(f'failed to write sysctl {name} = "{value}": write /proc/{path}: {reason}') from error
    finally:
        os.close(fd)
