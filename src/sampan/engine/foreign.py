"""Images of another machine's kind: whether their programs can run here, and what to say when not."""

from __future__ import annotations

import os

from ..oci import platform as platforms
from ..oci.platform import Platform

BINFMT = "/proc/sys/fs/binfmt_misc"
_EMULATORS = {
    "amd64": "x86_64", "386": "i386", "arm64": "aarch64", "mips64le": "mips64el", "mipsle": "mipsel",
    "loong64": "loongarch64",
}  # fmt: skip
"""Names of QEMU's targets where they differ from Go's architectures."""
_LEVELS = {
    "v2": {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"},
    "v3": {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"},
    "v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}
"""Flags of /proc/cpuinfo that each level adds."""
CPUS = "/proc/cpuinfo"


def warnings(image: Platform, *, asked: bool, handlers: str = BINFMT) -> list[str]:
    """What `create` says about an image's platform; `asked` when the user named one."""
    here = platforms.host()
    if not image.architecture or platforms.rank(here, image) is not None:
        return []
    found = []
    if not asked:
        found.append(
            f"The requested image's platform ({image.normalized()}) does not match the detected host platform "
            f"({detected()}) and no specific platform was requested"
        )
    if not emulated(image, handlers):
        found.append(
            f"no binfmt_misc handler for {image.architecture} is registered: the image's programs will fail with "
            '"exec format error"'
        )
    return found


def detected(cpus: str = CPUS) -> Platform:
    """This machine's platform with the level of its processor, as Docker shows it."""
    here = platforms.host()
    return Platform(here.architecture, here.os, variant=_amd64_level(cpus)) if here.architecture == "amd64" else here


def _amd64_level(cpus: str) -> str:
    """v2 to v4 of the x86-64 psABI («micro-architecture levels»), which Docker calls the host's variant."""
    try:
        with open(cpus) as file:
            flags = next((set(line.split()) for line in file if line.startswith("flags")), set())
    except OSError:
        return ""
    level = ""
    for name, needed in _LEVELS.items():
        if not needed <= flags:
            break
        level = name
    return level


def runs(platform: Platform) -> bool:
    """Whether programs of a platform can run here: by themselves, or by an interpreter."""
    return platforms.rank(platforms.host(), platform) is not None or emulated(platform)


def emulated(platform: Platform, handlers: str = BINFMT) -> bool:
    """Whether binfmt_misc (Documentation/admin-guide/binfmt-misc.rst) has an enabled handler for QEMU's target."""
    architecture = platform.normalized().architecture
    name = f"qemu-{_EMULATORS.get(architecture, architecture)}"
    try:
        with open(os.path.join(handlers, name), encoding="utf-8") as file:
            return file.readline().strip() == "enabled"
    except OSError:
        return False
