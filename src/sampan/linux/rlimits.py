"""Resource limits by OCI name: getrlimit(2)."""

from __future__ import annotations

import resource

LIMITS = {
    f"RLIMIT_{name}": getattr(resource, f"RLIMIT_{name}")
    for name in (
        "AS", "CORE", "CPU", "DATA", "FSIZE", "MEMLOCK", "MSGQUEUE", "NICE", "NOFILE", "NPROC", "RSS", "RTPRIO",
        "RTTIME", "SIGPENDING", "STACK",
    )
    if hasattr(resource, f"RLIMIT_{name}")
} | {"RLIMIT_LOCKS": 10}  # fmt: skip

_UNLIMITED = 2**64 - 1


def set_rlimit(name: str, soft: int, hard: int) -> bool:
    """Set a limit of this process; False where the hard limit could not be raised for want of CAP_SYS_RESOURCE.

    The soft limit then goes as far as the present hard limit lets it.
    """
    kind = LIMITS[name]
    wanted = _number(soft), _number(hard)
    try:
        resource.setrlimit(kind, wanted)
    except (PermissionError, ValueError):
        _, present = resource.getrlimit(kind)
        resource.setrlimit(kind, (_least(wanted[0], present), _least(wanted[1], present)))
        return False
    return True


def _number(value: int) -> int:
    return resource.RLIM_INFINITY if value < 0 or value >= _UNLIMITED else value


def _least(wanted: int, present: int) -> int:
    if present == resource.RLIM_INFINITY:
        return wanted
    return present if wanted == resource.RLIM_INFINITY else min(wanted, present)
