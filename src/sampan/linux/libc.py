"""The C library, with one errno check for every call.

Only what Python 3.11 lacks is here; a failing call raises OSError that names what it was about. Imports are few on
purpose: the start-up time of runtime and shim is mostly imports.
"""

from __future__ import annotations

import os

from . import cdata

MACHINE = os.uname().machine
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
AT_EMPTY_PATH = 0x1000

# Numbers below 424 differ between architectures: asm/unistd_64.h, asm-generic/unistd.h.
_OLD_NUMBERS = {
    "x86_64": {
        "pivot_root": 155,
        "keyctl": 250,
        "ioprio_set": 251,
        "sched_setattr": 314,
        "seccomp": 317,
        "bpf": 321,
        "renameat2": 316,
    },
    "aarch64": {
        "pivot_root": 41,
        "keyctl": 219,
        "ioprio_set": 30,
        "sched_setattr": 274,
        "seccomp": 277,
        "bpf": 280,
        "renameat2": 276,
    },
}
NUMBERS = {
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "clone3": 435,
    "close_range": 436, "openat2": 437, "mount_setattr": 442, "quotactl_fd": 443,
    **_OLD_NUMBERS.get(MACHINE, _OLD_NUMBERS["aarch64"]),
}  # fmt: skip

libc = cdata.Library()
"""The C library of this process; calls release the interpreter lock."""

locked_libc = cdata.Library(keep_lock=True)
"""The same for calls that must keep the interpreter lock: clone, whose child has no other thread to hand it over."""

_syscall = libc.syscall
_syscall.restype = cdata.c_long
_locked_syscall = locked_libc.syscall
_locked_syscall.restype = cdata.c_long

Argument = int | bytes | None | cdata.Array  # type: ignore[type-arg] # of any kind
Name = str | bytes | None


def check(result: int, name: Name = None) -> int:
    """The result of a C call; OSError from errno where it is negative."""
    if result < 0:
        raise oserror(name)
    return result


def oserror(name: Name = None) -> OSError:
    """The OSError (or its subclass) of the present errno."""
    number = cdata.get_errno()
    return OSError(number, os.strerror(number), name)


def path(value: str | bytes | None) -> bytes | None:
    """A path as C wants it; refuses an embedded NUL, which C would take for the end."""
    if value is None:
        return None
    encoded = os.fsencode(value)
    if b"\0" in encoded:
        raise ValueError("embedded null byte in path")
    return encoded


def syscall(name: str, *arguments: object, about: Name = None) -> int:
    """A raw system call by name; ints are passed as long, bytes and C values by pointer."""
    return check(_syscall(cdata.c_long(NUMBERS[name]), *map(_argument, arguments)), about or name)


def locked_syscall(name: str, *arguments: object) -> int:
    """As `syscall`, keeping the interpreter lock."""
    return check(_locked_syscall(cdata.c_long(NUMBERS[name]), *map(_argument, arguments)), name)


def _argument(value: object) -> object:
    # ctypes would pass a plain int as a C int and leave the upper half of the register undefined.
    return cdata.c_long(value) if isinstance(value, int) else value


def sethostname(name: str) -> None:
    """sethostname(2); socket.sethostname would import socket."""
    encoded = name.encode()
    check(libc.sethostname(encoded, cdata.c_size_t(len(encoded))), name)


def setdomainname(name: str) -> None:
    """setdomainname(2), the NIS domain name."""
    encoded = name.encode()
    check(libc.setdomainname(encoded, cdata.c_size_t(len(encoded))), name)


def personality(persona: int) -> None:
    """personality(2)."""
    check(libc.personality(cdata.c_ulong(persona)), "personality")


KEYCTL_JOIN_SESSION_KEYRING = 1


def join_session_keyring(name: str) -> None:
    """keyctl_join_session_keyring(3): a container never shares the session keyring of the engine."""
    syscall("keyctl", KEYCTL_JOIN_SESSION_KEYRING, name.encode(), 0, 0, 0)


class _StatFs(cdata.Structure):
    _fields_ = (("f_type", cdata.c_long), ("rest", cdata.c_char * 256))


PROC_SUPER_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572


def filesystem_type(fd: int) -> int:
    """The magic number (linux/magic.h) of the file system that an open file lies on, by fstatfs(2)."""
    buffer = _StatFs()
    check(libc.fstatfs(fd, cdata.byref(buffer)), f"fd {fd}")
    return int(buffer.f_type) & 0xFFFFFFFF


def syncfs(fd: int) -> None:
    """syncfs(2): everything of the file system that `fd` lies on is on the disk; raises what writeback failed with."""
    check(libc.syncfs(fd), f"fd {fd}")


RENAME_EXCHANGE = 2


def exchange(directory: int, name: str, other: str) -> None:
    """renameat2(2): two names of a directory change places, at one moment."""
    syscall("renameat2", directory, path(name), directory, path(other), RENAME_EXCHANGE, about=name)


SYNC_FILE_RANGE_WRITE = 2
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2


def start_writeback(fd: int, offset: int = 0, size: int = 0) -> None:
    """sync_file_range(2): have these bytes written, without waiting for it; all to the end where `size` is 0."""
    arguments = (cdata.c_long(offset), cdata.c_long(size), cdata.c_uint(SYNC_FILE_RANGE_WRITE))
    check(libc.sync_file_range(fd, *arguments), f"fd {fd}")


def punch_hole(fd: int, offset: int, size: int) -> None:
    """fallocate(2): give a range of a file back; it reads as zeroes."""
    mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    check(libc.fallocate(fd, mode, cdata.c_long(offset), cdata.c_long(size)), f"fd {fd}")
