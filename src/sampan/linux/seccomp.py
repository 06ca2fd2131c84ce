"""Seccomp filters: seccomp(2), and libseccomp (seccomp_rule_add(3)) to compile a profile.

libseccomp is loaded only when a profile is compiled; a filter that is there already is loaded without it.
"""

from __future__ import annotations

import errno
import os
from struct import pack

from . import cdata
from .libc import MACHINE, syscall

SECCOMP_SET_MODE_FILTER = 1
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}

ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
ARCHITECTURES = {
    "SCMP_ARCH_X86": b"x86", "SCMP_ARCH_X86_64": b"x86_64", "SCMP_ARCH_X32": b"x32", "SCMP_ARCH_ARM": b"arm",
    "SCMP_ARCH_AARCH64": b"aarch64", "SCMP_ARCH_MIPS": b"mips", "SCMP_ARCH_MIPS64": b"mips64",
    "SCMP_ARCH_MIPS64N32": b"mips64n32", "SCMP_ARCH_MIPSEL": b"mipsel", "SCMP_ARCH_MIPSEL64": b"mipsel64",
    "SCMP_ARCH_MIPSEL64N32": b"mipsel64n32", "SCMP_ARCH_PPC": b"ppc", "SCMP_ARCH_PPC64": b"ppc64",
    "SCMP_ARCH_PPC64LE": b"ppc64le", "SCMP_ARCH_S390": b"s390", "SCMP_ARCH_S390X": b"s390x",
    "SCMP_ARCH_RISCV64": b"riscv64", "SCMP_ARCH_PARISC": b"parisc", "SCMP_ARCH_PARISC64": b"parisc64",
}  # fmt: skip

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
_X32_BIT = 0x40000000
_SCMP_FLTATR_CTL_OPTIMIZE = 8

Argument = tuple[int, str, int, int]
"""(index, SCMP_CMP_*, value, second value)"""


class _Compare(cdata.Structure):
    _fields_ = (
        ("arg", cdata.c_uint),
        ("op", cdata.c_int),
        ("datum_a", cdata.c_uint64),
        ("datum_b", cdata.c_uint64),
    )


def action_value(action: str, number: int | None) -> int:
    """The kernel's number of an action; `number` is the errno (or trace message) where one is carried."""
    try:
        value = ACTIONS[action]
    except KeyError:
        raise ValueError(f"invalid seccomp action: {action}") from None
    if action in _WITH_ERRNO:
        return value | ((errno.EPERM if number is None else number) & 0xFFFF)
    return value


class Filter:
    """A profile under construction; use as a context."""

    def __init__(self, default: int, architectures: list[str]) -> None:
        self._lib = _library()
        self._default = default
        self._last = 0
        self._context = self._lib.seccomp_init(cdata.c_uint32(default))
        if not self._context:
            raise ValueError("libseccomp does not take the default action")
        self._lib.seccomp_attr_set(cdata.c_void_p(self._context), _SCMP_FLTATR_CTL_OPTIMIZE, cdata.c_uint32(2))
        for name in architectures:
            if name not in ARCHITECTURES:
                raise ValueError(f"invalid seccomp architecture: {name}")
            self._add_architecture(ARCHITECTURES[name])

    def __enter__(self) -> Filter:
        return self

    def __exit__(self, *_: object) -> None:
        self._lib.seccomp_release(cdata.c_void_p(self._context))

    def _add_architecture(self, name: bytes) -> None:
        token = self._lib.seccomp_arch_resolve_name(name)
        if token:
            result = self._lib.seccomp_arch_add(cdata.c_void_p(self._context), cdata.c_uint32(token))
            if result < 0 and -result != errno.EEXIST:
                raise OSError(-result, os.strerror(-result), name)

    def add(self, syscall_name: str, action: int, arguments: list[Argument]) -> None:
        """One rule; a system call that libseccomp does not know is skipped, as runc does."""
        number = self._lib.seccomp_syscall_resolve_name(syscall_name.encode())
        if number == -1:  # __NR_SCMP_ERROR
            return
        self._last = max(self._last, number)
        if action == self._default:
            return  # libseccomp refuses a rule that says what the default says
        compares = (_Compare * max(1, len(arguments)))()
        for place, (index, operator, value, second) in zip(compares, arguments, strict=False):
            place.arg, place.op, place.datum_a, place.datum_b = index, OPERATORS[operator], value, second
        result = self._lib.seccomp_rule_add_array(
            cdata.c_void_p(self._context), cdata.c_uint32(action), number, len(arguments), compares
        )
        if result < 0:
            raise OSError(-result, f"seccomp rule: {os.strerror(-result)}", syscall_name)

    def export(self) -> bytes:
        """The BPF program: an array of struct sock_filter."""
        fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
        try:
            result = self._lib.seccomp_export_bpf(cdata.c_void_p(self._context), fd)
            if result < 0:
                raise OSError(-result, os.strerror(-result), "seccomp_export_bpf")
            return self._unknown_prefix() + os.pread(fd, 1 << 20, 0)
        finally:
            os.close(fd)

    def _unknown_prefix(self) -> bytes:
        # A system call newer than the whole profile answers ENOSYS, so that programs fall back; with the profile's
        # EPERM they would fail. The profile's authors cannot have meant to forbid what did not exist.
        architecture = _AUDIT_ARCH.get(MACHINE)
        if architecture is None or self._default & 0xFFFF0000 != ACTIONS["SCMP_ACT_ERRNO"] or not self._last:
            return b""
        load, equal, greater, give = 0x20, 0x15, 0x25, 0x06
        return b"".join(
            (
                pack("=HBBI", load, 0, 0, 4),  # seccomp_data.arch
                pack("=HBBI", equal, 0, 4, architecture),
                pack("=HBBI", load, 0, 0, 0),  # seccomp_data.nr
                pack("=HBBI", greater, 2, 0, _X32_BIT - 1),
                pack("=HBBI", greater, 0, 1, self._last),
                pack("=HBBI", give, 0, 0, ACTIONS["SCMP_ACT_ERRNO"] | errno.ENOSYS),
            )
        )


_loaded: list[cdata.Library] = []


def _library() -> cdata.Library:
    if not _loaded:
        library = cdata.Library("libseccomp.so.2")
        library.seccomp_init.restype = cdata.c_void_p
        library.seccomp_arch_resolve_name.restype = cdata.c_uint32
        _loaded.append(library)
    return _loaded[0]


class _Program(cdata.Structure):
    _fields_ = (("length", cdata.c_ushort), ("filter", cdata.c_void_p))


class Loadable:
    """A compiled filter, ready: `load` then makes no allocation but the system call's."""

    def __init__(self, bpf: bytes) -> None:
        self._buffer = cdata.buffer(bpf)
        self._program = _Program(len(bpf) // 8, cdata.addressof(self._buffer))

    def load(self, flags: int = 0) -> None:
        """seccomp(2): from now on, and over execve; needs no_new_privs or CAP_SYS_ADMIN."""
        syscall("seccomp", SECCOMP_SET_MODE_FILTER, flags, cdata.byref(self._program))
