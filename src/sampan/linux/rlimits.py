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


def set_rlimit(name: str, soft: int, hard: int) -> None:
    """Set a limit of this process; PermissionError or ValueError where CAP_SYS_RESOURCE is wanting."""
    resource.setrlimit(LIMITS[name], (_number(soft), _number(hard)))


def _number(value: int) -> int:
    return resource.RLIM_INFINITY if value < 0 or value >= _UNLIMITED else value
