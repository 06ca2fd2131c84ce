"""Capabilities: capabilities(7), capset(2)."""

from __future__ import annotations

from . import cdata, prctl
from .libc import check, libc

# linux/capability.h, by number.
NAMES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
BITS = {f"CAP_{name}": 1 << number for number, name in enumerate(NAMES)}

_VERSION_3 = 0x20080522


class _Header(cdata.Structure):
    _fields_ = (("version", cdata.c_uint32), ("pid", cdata.c_int))


class _Data(cdata.Structure):
    _fields_ = (("effective", cdata.c_uint32), ("permitted", cdata.c_uint32), ("inheritable", cdata.c_uint32))


def mask(names: list[str] | None) -> int:
    """The bits of `CAP_*` names; names that this table lacks are left out, as runc does with a warning."""
    bits = 0
    for name in names or ():
        bits |= BITS.get(name, 0)
    return bits


def names(bits: int) -> list[str]:
    """The `CAP_*` names of a bit set, by number."""
    return [name for name, bit in BITS.items() if bits & bit]


def capget() -> tuple[int, int, int]:
    """capget(2) of this process: (effective, permitted, inheritable)."""
    header, data = _Header(_VERSION_3, 0), (_Data * 2)()
    check(libc.capget(cdata.byref(header), cdata.byref(data)), "capget")
    low, high = data
    return (
        low.effective | high.effective << 32,
        low.permitted | high.permitted << 32,
        low.inheritable | high.inheritable << 32,
    )


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) of this process."""
    header, data = _Header(_VERSION_3, 0), (_Data * 2)()
    for half, shift in ((data[0], 0), (data[1], 32)):
        half.effective = effective >> shift & 0xFFFFFFFF
        half.permitted = permitted >> shift & 0xFFFFFFFF
        half.inheritable = inheritable >> shift & 0xFFFFFFFF
    check(libc.capset(cdata.byref(header), cdata.byref(data)), "capset")


def bounding() -> int:
    """The bounding set of this process."""
    bits = 0
    for number in range(len(NAMES)):
        try:
            bits |= prctl.prctl(prctl.PR_CAPBSET_READ, number) << number
        except OSError:
            break  # EINVAL: the kernel is older than the table
    return bits


def limit_bounding(keep: int) -> None:
    """Drop everything but `keep` from the bounding set; it can never come back."""
    for number in range(64):
        if keep >> number & 1:
            continue
        try:
            prctl.prctl(prctl.PR_CAPBSET_DROP, number)
        except OSError:
            if number >= len(NAMES):
                break  # EINVAL: past the last capability that the kernel has
            raise


def set_ambient(bits: int) -> None:
    """Make the ambient set exactly `bits`; they must be permitted and inheritable."""
    prctl.prctl(prctl.PR_CAP_AMBIENT, prctl.PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(len(NAMES)):
        if bits >> number & 1:
            prctl.prctl(prctl.PR_CAP_AMBIENT, prctl.PR_CAP_AMBIENT_RAISE, number)
