"""From a process in the container's namespaces to the container's program: limits, identity, privileges, execve.

Nothing in here imports, looks up users or opens files by a path that the container could have changed (rules S02, S05).
"""

from __future__ import annotations

import errno
import os
import stat

from ..linux import capabilities, fds, libc, prctl, pty, rlimits, sealed
from ..linux.libc import PROC_SUPER_MAGIC, filesystem_type
from ..linux.seccomp import Loadable
from .failure import ExecFailed, RuntimeFailed
from .passwd import home_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_PERSONALITIES = {"LINUX": 0, "LINUX32": 8}
_IOPRIO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_POLICIES = {"SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4, "SCHED_IDLE": 5}


def set_streams(streams: list[int], slave: int, uid: int, size: dict[str, int] | None) -> None:
    """Put stdin, stdout and stderr (or the terminal's slave side for all three) in place."""
    if slave >= 0:
        if size and size.get("height"):
            pty.resize(slave, size["height"], size["width"])
        pty.make_controlling(slave)
        streams = [slave] * 3
    for number, fd in enumerate(streams):
        os.dup2(fd, number, inheritable=True)
        _own(number, uid)


def _own(fd: int, uid: int) -> None:
    # A program of another user may want to open /dev/stdout by name; runc does the same.
    found = os.fstat(fd)
    if found.st_uid == uid:
        return
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3):
        return  # /dev/null is everybody's
    try:
        os.fchown(fd, uid, -1)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EINVAL, errno.EROFS):
            raise


def set_limits(process: dict[str, Any]) -> None:
    """Resource limits, scheduling, I/O priority."""
    for limit in process.get("rlimits") or ():
        if limit["type"] not in rlimits.LIMITS:
            raise RuntimeFailed(f"unknown rlimit type {limit['type']!r}")
        try:
            rlimits.set_rlimit(limit["type"], limit["soft"], limit["hard"])
        except (OSError, ValueError) as error:
            number = rlimits.LIMITS[limit["type"]]
            raise RuntimeFailed(f"error setting rlimit type {number}: operation not permitted") from error
    priority = process.get("ioPriority")
    if priority:
        value = _IOPRIO_CLASSES[priority["class"]] << 13 | priority.get("priority", 0)
        libc.syscall("ioprio_set", 1, 0, value)
    scheduler = process.get("scheduler")
    if scheduler:
        os.sched_setscheduler(0, _POLICIES[scheduler["policy"]], os.sched_param(scheduler.get("priority", 0)))
        if scheduler.get("nice"):
            os.setpriority(os.PRIO_PROCESS, 0, scheduler["nice"])


def set_label(proc: int, process: dict[str, Any]) -> None:
    """AppArmor profile or SELinux label that takes effect at execve; `proc` is an fd of the verified procfs."""
    label, profile = process.get("selinuxLabel"), process.get("apparmorProfile")
    if not label and not profile:
        return
    path = "self/attr/exec"
    text = label or f"exec {profile}"
    if profile:
        try:
            os.stat("self/attr/apparmor", dir_fd=proc)
            path = "self/attr/apparmor/exec"
        except FileNotFoundError:
            pass
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=proc)
    try:
        if filesystem_type(fd) != PROC_SUPER_MAGIC:
            raise RuntimeFailed(f"/proc/{path} is not on procfs")
        os.write(fd, text.encode())
    except OSError as error:
        raise RuntimeFailed(f"unable to apply {'selinux label' if label else 'apparmor profile'}: {error}") from error
    finally:
        os.close(fd)


def change_directory(path: str, tolerant: bool) -> bool:
    """chdir to the working directory; False if it must be tried again as the container's user."""
    try:
        os.chdir(path)
    except OSError as error:
        if tolerant and error.errno == errno.EACCES:
            return False
        reason = (error.strerror or "").lower()
        raise ExecFailed(error.errno or 0, f'chdir to cwd ("{path}") set in config.json failed: {reason}') from error
    verify_directory()
    return True


def verify_directory() -> None:
    """Rule S03: the working directory lies inside the container's root (CVE-2024-21626)."""
    try:
        inside = os.getcwd().startswith("/")
    except FileNotFoundError:
        inside = False  # ENOENT: unreachable from the root
    if not inside:
        raise RuntimeFailed("current working directory is outside of container mount namespace root")


class Identity:
    """User, groups and capabilities of a process, in the two steps around the seccomp filter."""

    __slots__ = (
        "ambient",
        "bounding",
        "effective",
        "gid",
        "given",
        "groups",
        "inheritable",
        "permitted",
        "uid",
        "umask",
    )

    def __init__(self, process: dict[str, Any]) -> None:
        user = process.get("user") or {}
        self.uid, self.gid = user.get("uid") or 0, user.get("gid") or 0
        self.groups: list[int] = user.get("additionalGids") or []
        self.umask: int | None = user.get("umask")
        wanted: dict[str, list[str]] = process.get("capabilities") or {}
        self.given = bool(wanted)
        self.bounding = capabilities.mask(wanted.get("bounding"))
        self.permitted = capabilities.mask(wanted.get("permitted"))
        self.effective = capabilities.mask(wanted.get("effective"))
        self.inheritable = capabilities.mask(wanted.get("inheritable"))
        self.ambient = capabilities.mask(wanted.get("ambient"))

    def become(self) -> None:
        """Take the identity; capabilities stay until `drop`, for loading a filter may need CAP_SYS_ADMIN."""
        _, held, _ = capabilities.capget()
        capabilities.limit_bounding(self.bounding if self.given else 0)
        prctl.prctl(prctl.PR_SET_KEEPCAPS, 1)
        try:
            os.setgroups(self.groups)
        except PermissionError:
            if self.groups:
                raise  # a user namespace with setgroups denied has none to set
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        prctl.prctl(prctl.PR_SET_KEEPCAPS, 0)
        # setresuid made the process dumpable again as far as fs.suid_dumpable says (prctl(2)).
        prctl.set_dumpable(False)
        if self.uid:
            capabilities.capset(held, held, 0)
        if self.umask is not None:
            os.umask(self.umask)

    def find_program(self, name: str, path: str) -> str:
        """`find_program` with the capabilities that execve will have: a user's program loses them only then."""
        effective, held, inheritable = capabilities.capget()
        capabilities.capset(self.effective & held, held, inheritable)
        try:
            return find_program(name, path)
        finally:
            capabilities.capset(effective, held, inheritable)

    def drop(self) -> None:
        """Take the capabilities of the configuration; what this runtime itself lacks cannot be given."""
        _, held, _ = capabilities.capget()
        permitted = self.permitted & held
        # Inheritable holds just what ambient needs (rule S08, CVE-2022-24769).
        inheritable = self.ambient & self.inheritable & permitted
        capabilities.capset(self.effective & permitted, permitted, inheritable)
        capabilities.set_ambient(inheritable)


def environment(process: dict[str, Any], root: int, uid: int) -> dict[str, str]:
    """The environment; HOME comes from the container's /etc/passwd where it is not given, as in runc."""
    variables = {}
    for entry in process.get("env") or ():
        name, separator, value = entry.partition("=")
        if separator and name:
            variables[name] = value
    if not variables.get("HOME"):
        variables["HOME"] = home_of(root, uid)
    return variables


def find_program(name: str, path: str) -> str:
    """Where execve finds a program, by the container's PATH; raises ExecFailed with runc's text."""
    if not name:
        raise ExecFailed(errno.ENOENT, 'exec: "": executable file not found in $PATH')
    if "/" in name:
        _check_program(name, name)
        return name
    refused = False
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        try:
            _check_program(candidate, name)
        except ExecFailed as error:
            refused = refused or error.errno == errno.EACCES
            continue
        return candidate
    if refused:
        raise ExecFailed(errno.EACCES, f'exec: "{name}": permission denied')
    raise ExecFailed(errno.ENOENT, f'exec: "{name}": executable file not found in $PATH')


def _check_program(path: str, name: str) -> None:
    try:
        found = os.stat(path)
    except OSError as error:
        number, reason = error.errno or 0, (error.strerror or "").lower()
        raise ExecFailed(number, f'exec: "{name}": stat {path}: {reason}') from None
    if stat.S_ISDIR(found.st_mode):
        raise ExecFailed(errno.EACCES, f'exec: "{name}": is a directory: permission denied')
    if not os.access(path, os.X_OK, effective_ids=True):
        raise ExecFailed(errno.EACCES, f'exec: "{name}": permission denied')


class Program:
    """What is executed at last: all of it computed before the filter is on."""

    __slots__ = ("arguments", "filter", "filter_flags", "identity", "no_new_privs", "path", "variables")

    def __init__(self, process: dict[str, Any], root: int, identity: Identity, bpf: bytes, filter_flags: int) -> None:
        self.identity = identity
        self.variables = environment(process, root, identity.uid)
        self.arguments: list[str] = process.get("args") or []
        if not self.arguments:
            raise RuntimeFailed("args must not be empty")
        self.path = identity.find_program(self.arguments[0], self.variables.get("PATH", ""))
        self._refuse_own_interpreter()
        self.no_new_privs = bool(process.get("noNewPrivileges"))
        self.filter = Loadable(bpf) if bpf else None
        self.filter_flags = filter_flags

    def _refuse_own_interpreter(self) -> None:
        # Rule S01, where the interpreter could not be sealed (linux.sealed): a program of the container's that is this
        # very file could write to it. Sealed, it cannot, and a container may well run the host's own /usr.
        found = os.stat(self.path)
        if not _SEALED and (found.st_dev, found.st_ino) == _OWN_EXE:
            raise ExecFailed(errno.EACCES, f'exec: "{self.path}": is the runtime itself: permission denied')

    def confine(self) -> None:
        """Give up all that the program is not to have."""
        if self.no_new_privs:
            prctl.set_no_new_privs()
        if self.filter:
            self.filter.load(self.filter_flags)
        self.identity.drop()

    def execute(self) -> NoReturn:
        """execve; returns only by an exception."""
        os.execve(self.path, self.arguments, self.variables)


def _own_exe() -> tuple[int, int]:
    found = os.stat("/proc/self/exe")
    return found.st_dev, found.st_ino


_OWN_EXE = _own_exe()
_SEALED = sealed.is_sealed()


def close_others(preserved: int) -> None:
    """Rule S03: of the open files only the standard streams and `preserved` more survive execve."""
    fds.close_range(3 + preserved, 0xFFFFFFFF, fds.CLOSE_RANGE_CLOEXEC)


def apply_personality(personality: dict[str, Any] | None) -> None:
    """OCI linux.personality."""
    if personality:
        libc.personality(_PERSONALITIES[personality["domain"]])
