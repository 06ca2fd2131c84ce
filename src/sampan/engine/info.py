"""Facts about this machine that `info` and `version` show."""

from __future__ import annotations

import os
import platform
from functools import cache
from typing import Final

ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x",
                        "riscv64": "riscv64", "i686": "386"}  # fmt: skip
"""The kernel's machine names in Go's words, which image platforms use."""


@cache
def operating_system() -> str:
    """The distribution's name, as /etc/os-release (os-release(5)) gives it."""
    values = os_release()
    return values.get("PRETTY_NAME") or values.get("NAME") or "Linux"


@cache
def os_release() -> dict[str, str]:
    """Variables of the first os-release file."""
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                pairs = (line.rstrip("\n").partition("=") for line in file if "=" in line)
                return {name: value.strip("\"'") for name, _, value in pairs}
        except OSError:
            continue
    return {}


def machine() -> str:
    """The kernel's name of the processor architecture, such as x86_64."""
    return platform.machine()


def architecture() -> str:
    """Go's name of it, such as amd64."""
    return ARCHITECTURES.get(machine(), machine())


def kernel() -> str:
    return platform.release()


def processors() -> int:
    """How many CPUs this process may run on."""
    return len(os.sched_getaffinity(0))


@cache
def memory() -> int:
    """Octets of main memory, as the kernel counts them."""
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    return 0


def open_files() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def ipv4_forwarding() -> bool:
    """Whether the kernel forwards between links in this network namespace."""
    try:
        with open("/proc/sys/net/ipv4/ip_forward", encoding="ascii") as file:
            return file.read().strip() == "1"
    except OSError:
        return False
