"""Which devices a control group may use: devices.allow and deny on v1, a BPF program on v2 (cgroup-v2.rst)."""

from __future__ import annotations

import os
from struct import pack

from .. import cdata
from ..libc import syscall
from . import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ALWAYS = (
    # Every container may make device nodes, and use the pseudo-devices and terminals that its /dev has.
    ("c", None, None, "m", True),
    ("b", None, None, "m", True),
    ("c", 1, 3, "rwm", True),
    ("c", 1, 5, "rwm", True),
    ("c", 1, 7, "rwm", True),
    ("c", 1, 8, "rwm", True),
    ("c", 1, 9, "rwm", True),
    ("c", 5, 0, "rwm", True),
    ("c", 5, 2, "rwm", True),
    ("c", 136, None, "rwm", True),
)
Rule = tuple[str, "int | None", "int | None", str, bool]


def rules(devices: list[dict[str, Any]]) -> list[Rule]:
    """(type a|b|c, major, minor, access, allow) from OCI device rules; what comes later wins."""
    given = [
        (
            rule.get("type") or "a",
            _wild(rule.get("major")),
            _wild(rule.get("minor")),
            rule.get("access") or "rwm",
            bool(rule.get("allow")),
        )
        for rule in devices
    ]
    # An unrestricted container stays so; else the basic ones are put behind the first denial of everything.
    if not any(_denies_all(rule) for rule in given):
        return given
    last = max(index for index, rule in enumerate(given) if _denies_all(rule))
    return [given[last], *_ALWAYS, *given[last + 1 :]]


def _wild(value: int | None) -> int | None:
    return None if value is None or value < 0 else value


def _denies_all(rule: Rule) -> bool:
    kind, major, minor, _, allow = rule
    return not allow and kind == "a" and major is None and minor is None


def apply_v1(directory: str, devices: list[dict[str, Any]]) -> None:
    """Replay the rules in order. A nested cgroup whose parent forbids the device refuses with EPERM."""
    for kind, major, minor, access, allow in rules(devices):
        name = "devices.allow" if allow else "devices.deny"
        numbers = f"{'*' if major is None else major}:{'*' if minor is None else minor}"
        value = "a" if kind == "a" and major is None and minor is None else f"{kind} {numbers} {access}"
        files.write(directory, name, value)


# linux/bpf.h
_BPF_PROG_LOAD, _BPF_PROG_ATTACH, _BPF_PROG_DETACH, _BPF_PROG_QUERY = 5, 8, 9, 16
_BPF_PROG_GET_FD_BY_ID = 13
_BPF_PROG_TYPE_CGROUP_DEVICE = 15
_BPF_CGROUP_DEVICE = 6
_BPF_F_ALLOW_MULTI = 2
_ACCESS = {"m": 1, "r": 2, "w": 4}
_TYPES = {"b": 1, "c": 2}
_LDX_W, _JNE_K, _MOV_K, _MOV_X, _AND_K, _RSH_K, _EXIT, _JNE_X = 0x61, 0x55, 0xB7, 0xBF, 0x57, 0x77, 0x95, 0x5D


def _instruction(code: int, dst: int = 0, src: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return pack("<BBhi", code, src << 4 | dst, offset, immediate)


def program(devices: list[dict[str, Any]]) -> bytes:
    """The BPF of the rules: struct bpf_cgroup_dev_ctx in r1 {access << 16 | type, major, minor}; returns 1 to allow."""
    code = [
        _instruction(_LDX_W, 2, 1, 0),
        _instruction(_AND_K, 2, 0, 0, 0xFFFF),
        _instruction(_LDX_W, 3, 1, 0),
        _instruction(_RSH_K, 3, 0, 0, 16),
        _instruction(_LDX_W, 4, 1, 4),
        _instruction(_LDX_W, 5, 1, 8),
    ]
    default = 1
    for rule in reversed(rules(devices)):
        if rule[0] == "a" and rule[1] is None and rule[2] is None:
            default = int(rule[4])
            break  # nothing before it can matter
        code.append(_test(rule))
    code += [_instruction(_MOV_K, 0, 0, 0, default), _instruction(_EXIT)]
    return b"".join(code)


def _test(rule: Rule) -> bytes:
    kind, major, minor, access, allow = rule
    bits = sum(_ACCESS[letter] for letter in set(access))
    # An allowed rule must cover all that is asked; a denial bites when any of it is asked.
    tests = []
    if kind in _TYPES:
        tests.append((2, _TYPES[kind]))
    tests += [(register, value) for register, value in ((4, major), (5, minor)) if value is not None]
    tail = [_instruction(_MOV_K, 0, 0, 0, int(allow)), _instruction(_EXIT)]
    if bits != 7:
        masked = [_instruction(_MOV_X, 1, 3), _instruction(_AND_K, 1, 0, 0, bits)]
        jump = _instruction(_JNE_X, 1, 3, len(tail)) if allow else _instruction(0x15, 1, 0, len(tail), 0)
        tail = [*masked, jump, *tail]
    head = [
        _instruction(_JNE_K, register, 0, len(tests) - index - 1 + len(tail), value)
        for index, (register, value) in enumerate(tests)
    ]
    return b"".join([*head, *tail])


def apply_v2(directory: str, devices: list[dict[str, Any]]) -> None:
    """Attach the rules' program to a v2 group in place of those that are attached to it."""
    cgroup_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        old = _attached(cgroup_fd)
        loaded = _load(program(devices))
        try:
            _bpf(_BPF_PROG_ATTACH, pack("IIIII", cgroup_fd, loaded, _BPF_CGROUP_DEVICE, _BPF_F_ALLOW_MULTI, 0))
        finally:
            os.close(loaded)
        for fd in old:
            _bpf(_BPF_PROG_DETACH, pack("IIII", cgroup_fd, fd, _BPF_CGROUP_DEVICE, 0))
            os.close(fd)
    finally:
        os.close(cgroup_fd)


def _load(code: bytes) -> int:
    instructions = cdata.buffer(code)
    license_ = cdata.buffer(b"Apache-2.0\0")
    attributes = pack(
        "IIQQ", _BPF_PROG_TYPE_CGROUP_DEVICE, len(code) // 8, cdata.addressof(instructions), cdata.addressof(license_)
    )
    return _bpf(_BPF_PROG_LOAD, attributes + bytes(24))


def _attached(cgroup_fd: int) -> list[int]:
    ids = (cdata.c_uint32 * 64)()
    query = cdata.buffer(
        pack("IIIIQI", cgroup_fd, _BPF_CGROUP_DEVICE, 0, 0, cdata.addressof(ids), len(ids)) + bytes(36)
    )
    syscall("bpf", _BPF_PROG_QUERY, query, 64)
    count = int.from_bytes(query.raw[24:28], "little")
    return [_bpf(_BPF_PROG_GET_FD_BY_ID, pack("III", ids[index], 0, 0)) for index in range(count)]


def _bpf(command: int, attributes: bytes) -> int:
    return syscall("bpf", command, cdata.buffer(attributes), len(attributes))
