"""The container's file system tree: mounts, devices, masks, pivot_root.

Everything below the root is opened with openat2(RESOLVE_IN_ROOT) and then used by fd (rule S06). It all happens before
pivot_root, while /proc is still the host's: a target is named to mount(2) as /proc/self/fd/<n>.
"""

from __future__ import annotations

import os
import stat

from ..linux import mount as mnt
from ..linux import namespaces as ns
from ..linux.cgroup import Hierarchy
from ..linux.libc import AT_EMPTY_PATH, AT_RECURSIVE, PROC_SUPER_MAGIC, SYSFS_MAGIC, filesystem_type
from ..linux.openat2 import O_PATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, make_directories, make_file, open_in_root
from ..linux.openat2 import openat2 as open_with
from . import copyup
from .failure import RuntimeFailed
from .options import PROPAGATION, Options, attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DIRECTORY = O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_CLONE_FD = mnt.OPEN_TREE_CLONE | mnt.OPEN_TREE_CLOEXEC | AT_EMPTY_PATH


def enter(tree: int, propagation: str) -> int:
    """Attach the root's detached tree to this mount namespace; an fd of its root.

    It goes on top of "/", which paths of this process do not cross, so the host's tree stays in use until pivot_root.
    """
    mnt.mount(None, "/", None, PROPAGATION.get(propagation or "rslave", mnt.MS_SLAVE | mnt.MS_REC) | mnt.MS_REC)
    # pivot_root(2) wants the parent mount of the new root not to be shared.
    mnt.mount(None, "/", None, mnt.MS_PRIVATE)
    # A copy of a shared mount is its peer: what is mounted on it would show on the host, and pivot_root refuses it.
    mnt.mount_setattr(tree, propagation=mnt.MS_SLAVE, recursive=True)
    mnt.mount_setattr(tree, propagation=mnt.MS_PRIVATE)
    mnt.move_mount(tree, os.open("/", _DIRECTORY))
    return tree


def target_name(fd: int) -> str:
    """A path for mount(2) that means an open file."""
    return f"/proc/self/fd/{fd}"


class Mounter:
    """Mounts the entries of a configuration below one root; `sources` are trees opened before, by index."""

    __slots__ = ("bundle", "cgroup", "hierarchy", "own_cgroupns", "readonly_later", "root", "sources")

    def __init__(self, root: int, bundle: str, sources: dict[int, int]) -> None:
        self.root = root
        self.bundle = bundle
        self.sources = sources
        self.hierarchy = Hierarchy.detect()
        self.cgroup = ""
        self.own_cgroupns = False
        self.readonly_later: list[str] = []

    def mount_all(self, entries: list[dict[str, Any]]) -> None:
        """Mount in order."""
        for index, entry in enumerate(entries):
            try:
                self._mount(index, entry)
            except OSError as error:
                source, destination = entry.get("source"), entry["destination"]
                raise RuntimeFailed(
                    f'error mounting "{source}" to rootfs at "{destination}": {(error.strerror or str(error)).lower()}'
                ) from error

    def finish(self) -> None:
        """Make those read-only that had to be filled first."""
        for destination in self.readonly_later:
            fd = open_in_root(self.root, destination)
            mnt.mount_setattr(fd, mnt.MOUNT_ATTR_RDONLY)
            os.close(fd)

    def _mount(self, index: int, entry: dict[str, Any]) -> None:
        options = Options(entry.get("options") or [])
        kind = entry.get("type") or ""
        if options.flags & mnt.MS_BIND or kind in ("bind", "rbind"):
            self._bind(index, entry, options)
        elif kind in ("proc", "sysfs"):
            self._kernel_tree(entry, kind, options)
        elif kind in ("cgroup", "cgroup2"):
            self._cgroup(entry, options)
        else:
            self._file_system(entry, kind, options)

    def _bind(self, index: int, entry: dict[str, Any], options: Options) -> None:
        tree = self.sources.pop(index, -1)
        if tree < 0:
            tree = open_source(entry, self.bundle, options)
        is_directory = stat.S_ISDIR(os.fstat(tree).st_mode)
        make = make_directories if is_directory else make_file
        target = make(self.root, entry["destination"])
        self._refuse_proc(target, entry["destination"], tree)
        set_attributes(tree, options)
        mnt.move_mount(tree, target)
        os.close(target)
        os.close(tree)

    def _refuse_proc(self, target: int, destination: str, tree: int) -> None:
        # Whatever hides /proc would be used for what is written through it later.
        if filesystem_type(target) == PROC_SUPER_MAGIC and destination.strip("/") != "proc":
            parts = destination.strip("/").split("/")
            if parts[0] == "proc" and (len(parts) < 2 or parts[1] not in _PROC_FILES) and not _is_proc(tree):
                raise RuntimeFailed(f'"{destination}" cannot be mounted because it is inside /proc')

    def _kernel_tree(self, entry: dict[str, Any], kind: str, options: Options) -> None:
        target = self._plain_directory(entry["destination"])
        try:
            mnt.mount(entry.get("source") or kind, target_name(target), kind, options.flags, options.data)
        except PermissionError:
            # A user namespace may mount sysfs only with a network namespace of its own: take the host's, as runc does.
            if kind != "sysfs":
                raise
            tree = mnt.clone_tree("/sys")
            mnt.move_mount(tree, target)
            os.close(tree)
        os.close(target)

    def _plain_directory(self, destination: str) -> int:
        # Rule S07: an image that makes /proc a link would aim the mount, and writes through it, elsewhere.
        os.close(make_directories(self.root, os.path.dirname(destination.rstrip("/"))))
        try:
            return open_with(self.root, destination, _DIRECTORY, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS)
        except FileNotFoundError:
            return make_directories(self.root, destination)
        except OSError as error:
            raise RuntimeFailed(
                f"filesystem {destination!r} must be mounted on ordinary directory: {error.strerror}"
            ) from error

    def _file_system(self, entry: dict[str, Any], kind: str, options: Options) -> None:
        destination, flags = entry["destination"], options.flags
        existed = self._exists(destination)
        target = make_directories(self.root, destination, 0o755)
        old = -1
        data = options.data
        if kind == "tmpfs":
            if flags & mnt.MS_RDONLY and (destination == "/dev" or "tmpcopyup" in options.extensions):
                flags &= ~mnt.MS_RDONLY
                self.readonly_later.append(destination)
            if "mode=" not in data and existed:
                # A tmpfs over a directory of the image keeps its mode; a new one gets tmpfs' own, 1777 (runc too).
                data = ",".join(filter(None, [data, f"mode={stat.S_IMODE(os.stat(target_name(target)).st_mode):o}"]))
            if "tmpcopyup" in options.extensions:
                old = os.open(target_name(target), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        mnt.mount(entry.get("source") or kind, target_name(target), kind, flags & ~mnt.MS_REC, data or None)
        os.close(target)
        if old >= 0 or options.propagation:
            self._after_mount(destination, old, options)

    def _exists(self, destination: str) -> bool:
        try:
            os.close(open_in_root(self.root, destination))
        except FileNotFoundError:
            return False
        return True

    def _after_mount(self, destination: str, old: int, options: Options) -> None:
        fd = open_in_root(self.root, destination, os.O_RDONLY | os.O_DIRECTORY)
        if old >= 0:
            copyup.copy_tree(old, fd)
            os.close(old)
        os.close(fd)
        fd = open_in_root(self.root, destination)
        for propagation in options.propagation:
            mnt.mount(None, target_name(fd), None, propagation)
        os.close(fd)

    def _cgroup(self, entry: dict[str, Any], options: Options) -> None:
        target = make_directories(self.root, entry["destination"])
        if self.hierarchy.version == 2:
            self._cgroup_v2(target, options)
        else:
            self._cgroup_v1(target, entry["destination"], options)
        os.close(target)

    def _cgroup_v2(self, target: int, options: Options) -> None:
        if self.own_cgroupns:
            try:
                mnt.mount("cgroup", target_name(target), "cgroup2", options.flags, options.data or None)
            except OSError:
                pass  # EPERM in a user namespace, EBUSY: the bind below shows the same
            else:
                return
        tree = mnt.clone_tree(f"{self.hierarchy.unified}{self.cgroup}")
        set_attributes(tree, options)
        mnt.move_mount(tree, target)
        os.close(tree)

    def _cgroup_v1(self, target: int, destination: str, options: Options) -> None:
        keep = options.flags & (mnt.MS_NOSUID | mnt.MS_NODEV | mnt.MS_NOEXEC)
        mnt.mount("tmpfs", target_name(target), "tmpfs", keep, "mode=755")
        top = open_in_root(self.root, destination, _DIRECTORY)
        # Co-mounted controllers are one directory with links, as systemd makes it on the host.
        seen: dict[str, str] = {}
        for controller, point in self.hierarchy.mounts.items():
            if point not in seen:
                seen[point] = os.path.basename(point)
                self._cgroup_v1_controller(top, seen[point], controller, f"{point}{self.cgroup}", options)
            if controller != seen[point] and not controller.startswith("name="):
                os.symlink(seen[point], controller, dir_fd=top)
        if options.flags & mnt.MS_RDONLY:
            mnt.mount_setattr(top, mnt.MOUNT_ATTR_RDONLY)
        os.close(top)

    def _cgroup_v1_controller(self, top: int, name: str, controller: str, directory: str, options: Options) -> None:
        os.mkdir(name, 0o755, dir_fd=top)
        place = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
        if self.own_cgroupns:
            mnt.mount("cgroup", target_name(place), "cgroup", options.flags & ~mnt.MS_REC, controller)
        else:
            tree = mnt.clone_tree(directory)
            set_attributes(tree, options)
            mnt.move_mount(tree, place)
            os.close(tree)
        os.close(place)


# Files that tools like lxcfs lay over /proc; the OCI runtimes allow these and no other.
_PROC_FILES = (
    "cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", "sys", "sysrq-trigger",
    "net", "acpi", "asound", "bus", "fs", "irq",
)  # fmt: skip


def _is_proc(tree: int) -> bool:
    return filesystem_type(tree) in (PROC_SUPER_MAGIC, SYSFS_MAGIC)


def open_source(entry: dict[str, Any], bundle: str, options: Options) -> int:
    """A detached copy of a bind mount's source."""
    source = entry.get("source") or ""
    if not source.startswith("/"):
        source = f"{bundle}/{source}"
    tree = mnt.clone_tree(source, recursive=bool(options.flags & mnt.MS_REC))
    if is_mapped(entry, options):
        _map_mount(tree, entry, "ridmap" in options.extensions)
    return tree


def is_mapped(entry: dict[str, Any], options: Options) -> bool:
    """Whether a bind mount shows other owners than its files have."""
    return bool(entry.get("uidMappings") or {"idmap", "ridmap"} & set(options.extensions))


def _map_mount(tree: int, entry: dict[str, Any], recursive: bool) -> None:
    fd = user_namespace(entry["uidMappings"], entry["gidMappings"])
    try:
        mnt.mount_setattr(tree, mnt.MOUNT_ATTR_IDMAP, userns_fd=fd, recursive=recursive)
    finally:
        os.close(fd)


def user_namespace(uids: list[dict[str, int]], gids: list[dict[str, int]]) -> int:
    """The fd of a user namespace with these id maps; no process lives in it."""
    from . import namespaces

    ours, theirs = os.pipe2(os.O_CLOEXEC)
    pid, pidfd = ns.clone(ns.CLONE_NEWUSER)
    if pid == 0:
        os.close(theirs)
        os.read(ours, 1)
        os._exit(0)
    try:
        namespaces.map_ids(pid, {"uidMappings": uids, "gidMappings": gids})
        return ns.open_namespace(pid, ns.CLONE_NEWUSER)
    finally:
        os.close(ours)
        os.close(theirs)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)


def set_attributes(tree: int, options: Options) -> None:
    """Flags and propagation of a bind mount, while nobody can reach it yet."""
    wanted = attributes(options.flags)
    clear = attributes(options.cleared) & ~wanted
    if wanted or clear:
        mnt.mount_setattr(tree, wanted, clear)
    if options.recursive:
        mnt.mount_setattr(tree, *options.recursive, recursive=True)
    # Unless told otherwise, mounts of the host's go on showing inside, as with runc; never the other way.
    for propagation in options.propagation or [mnt.MS_SLAVE | mnt.MS_REC]:
        recursive = bool(propagation & mnt.MS_REC)
        mnt.mount_setattr(tree, propagation=propagation & ~mnt.MS_REC, recursive=recursive)


def make_read_only(root: int, paths: list[str]) -> None:
    """OCI readonlyPaths: each is bound on itself, read-only; a missing one is skipped."""
    for path in paths:
        try:
            fd = open_in_root(root, path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        tree = mnt.open_tree(fd, "", _CLONE_FD | AT_RECURSIVE)
        mnt.mount_setattr(tree, mnt.MOUNT_ATTR_RDONLY, recursive=True)
        mnt.move_mount(tree, fd)
        os.close(tree)
        os.close(fd)


def mask(root: int, paths: list[str]) -> None:
    """OCI maskedPaths: a directory becomes an empty read-only tmpfs, a file /dev/null."""
    if not paths:
        return
    null, directory = open_null(root), -1
    null_attached = False
    for path in paths:
        try:
            fd = open_in_root(root, path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        # Before Linux 6.15 only an attached mount can be cloned: the first of a kind is attached itself.
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            _attach(null, fd, copy=null_attached)
            null_attached = True
        elif directory < 0:
            directory = _empty_tmpfs()
            _attach(directory, fd, copy=False)
        else:
            _attach(directory, fd, copy=True)
        os.close(fd)
    for tree in (null, directory):
        if tree >= 0:
            os.close(tree)


def _attach(tree: int, target: int, *, copy: bool) -> None:
    """Attach a detached mount, or a copy of it where it is attached already (it would be moved away from there)."""
    if not copy:
        mnt.move_mount(tree, target)
        return
    cloned = mnt.open_tree(tree, "", _CLONE_FD)
    mnt.move_mount(cloned, target)
    os.close(cloned)


def open_null(root: int) -> int:
    """A detached mount of the null device, checked to be it (rule S04): the container's own, else the host's.

    The host's is read-only, or root of the container could change the owner and mode of the machine's /dev/null.
    """
    try:
        own = open_in_root(root, "/dev/null", O_PATH | os.O_NOFOLLOW)
    except OSError:
        own = -1  # missing, or a link
    if own >= 0 and _is_null(own):
        return _take_tree(own)
    host = os.open("/dev/null", O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    if not _is_null(host):
        raise RuntimeFailed("/dev/null is not the null device")
    tree = _take_tree(host)
    mnt.mount_setattr(tree, mnt.MOUNT_ATTR_RDONLY)
    return tree


def _is_null(fd: int) -> bool:
    found = os.fstat(fd)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3)


def _take_tree(fd: int) -> int:
    tree = mnt.open_tree(fd, "", _CLONE_FD)
    os.close(fd)
    return tree


def _empty_tmpfs() -> int:
    context = mnt.fsopen("tmpfs")
    mnt.fsconfig_string(context, "source", "tmpfs")
    mnt.fsconfig_flag(context, "ro")
    mnt.fsconfig_create(context)
    fd = mnt.fsmount(context, mnt.MOUNT_ATTR_RDONLY)
    os.close(context)
    return fd


def pivot(root: int, propagation: str) -> None:
    """Make `root` the root of this mount namespace and let go of the host's tree."""
    old = os.open("/", _DIRECTORY)
    os.fchdir(root)
    # The old root is stacked on the new one and detached: no directory for it is needed (pivot_root(2), NOTES).
    mnt.pivot_root(".", ".")
    # "." would mean the new one now. As slaves, the host's mounts do not go with their copies.
    os.fchdir(old)
    os.close(old)
    mnt.mount(None, ".", None, mnt.MS_SLAVE | mnt.MS_REC)
    mnt.umount2(".", mnt.MNT_DETACH)
    os.chdir("/")
    if propagation:
        mnt.mount(None, "/", None, PROPAGATION[propagation])
