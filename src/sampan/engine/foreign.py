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


def warnings(image: Platform, *, asked: bool, handlers: str = BINFMT) -> list[str]:
    """What `create` says about an image's platform; `asked` when the user named one."""
    here = platforms.host()
    if not image.architecture or platforms.rank(here, image) is not None:
        return []
    found = []
    if not asked:
        found.append(
            f"The requested image's platform ({image.normalized()}) does not match the detected host platform "
            f"({platforms.detected()}) and no specific platform was requested"
        )
    if not emulated(image, handlers):
        found.append(
            f"no binfmt_misc handler for {image.architecture} is registered: the image's programs will fail with "
            '"exec format error"'
        )
    return found


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
