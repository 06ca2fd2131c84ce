"""/dev of the container: nodes, links, console."""

from __future__ import annotations

import os
import stat

from ..linux import mount as mnt
from ..linux import pty
from ..linux.libc import AT_EMPTY_PATH, filesystem_type
from ..linux.openat2 import O_PATH, make_directories, make_file, open_in_root
from .failure import RuntimeFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEVPTS_SUPER_MAGIC = 0x1CD1

# OCI runtime specification, config-linux.md, «Default Devices».
_DEFAULT = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
_LINKS = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
)
_TYPES = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


def has_own_dev(mounts: list[dict[str, Any]]) -> bool:
    """Whether /dev is to be filled: not where the host's or another is bound there."""
    for entry in mounts:
        if entry["destination"].rstrip("/") == "/dev":
            words = entry.get("options") or ()
            if entry.get("type") == "bind" or "bind" in words or "rbind" in words:
                return False
    return True


def make_all(root: int, devices: list[dict[str, Any]], bind: bool) -> None:
    """Nodes and links; `bind`: a user namespace cannot make nodes, so the host's are mounted."""
    old = os.umask(0)
    try:
        dev = make_directories(root, "/dev")
        for name, major, minor in _DEFAULT:
            _make(dev, name, stat.S_IFCHR | 0o666, os.makedev(major, minor), 0, 0, bind)
        for device in devices:
            _make_configured(root, device, bind)
        for target, name in _LINKS:
            _link(target, name, dev)
        _link("pts/ptmx", "ptmx", dev)
        os.close(dev)
    finally:
        os.umask(old)


def _make_configured(root: int, device: dict[str, Any], bind: bool) -> None:
    parent, _, name = device["path"].rpartition("/")
    directory = make_directories(root, parent)
    kind = _TYPES.get(device["type"])
    if kind is None:
        raise RuntimeFailed(f"{device['type']!r} is not a valid device type for {device['path']!r}")
    number = os.makedev(device.get("major") or 0, device.get("minor") or 0)
    mode = device.get("fileMode")
    mode = kind | (0o666 if mode is None else mode & 0o7777)
    _make(directory, name, mode, number, device.get("uid") or 0, device.get("gid") or 0, bind)
    os.close(directory)


def _make(directory: int, name: str, mode: int, number: int, uid: int, gid: int, bind: bool) -> None:
    if bind and not stat.S_ISFIFO(mode):
        _bind_node(directory, name, number)
        return
    try:
        os.mknod(name, mode, number, dir_fd=directory)
    except FileExistsError:
        return  # the image's or a mount's own
    except PermissionError:
        _bind_node(directory, name, number)
        return
    if uid or gid:
        os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)


def _bind_node(directory: int, name: str, number: int) -> None:
    path = f"/dev/{name}"
    fd = os.open(path, O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    if os.fstat(fd).st_rdev != number:
        raise RuntimeFailed(f"{path} is not device {os.major(number)}:{os.minor(number)}")
    target = make_file(directory, name)
    tree = mnt.open_tree(fd, "", mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)
    mnt.move_mount(tree, target)
    for number_ in (fd, target, tree):
        os.close(number_)


def _link(target: str, name: str, dev: int) -> None:
    try:
        os.symlink(target, name, dir_fd=dev)
    except FileExistsError:
        if name != "ptmx":
            return
        # devpts(5): the node of another instance would open the host's terminals.
        os.unlink(name, dir_fd=dev)
        os.symlink(target, name, dir_fd=dev)


def open_console(root: int) -> tuple[int, int]:
    """A new terminal of the container's own devpts: (master, slave) fds."""
    try:
        fd = open_in_root(root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    except FileNotFoundError:
        fd = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if filesystem_type(fd) != DEVPTS_SUPER_MAGIC and os.fstat(fd).st_rdev != os.makedev(5, 2):
        raise RuntimeFailed("/dev/pts/ptmx is not a terminal multiplexer")
    pty.unlock(fd)
    return fd, pty.open_slave(fd)


def mount_console(root: int, slave: int) -> None:
    """Mount the slave side on /dev/console, from its fd (rule S04)."""
    target = make_file(root, "/dev/console", 0o600)
    tree = mnt.open_tree(slave, "", mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC | AT_EMPTY_PATH)
    mnt.move_mount(tree, target)
    os.close(tree)
    os.close(target)
