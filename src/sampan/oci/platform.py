"""Platforms: `os/architecture[/variant]`, normalised and matched as containerd/platforms does."""

from __future__ import annotations

import os
import re
from functools import lru_cache

from msgspec import Struct, field

from ..errors import InvalidArgument

_ARCHITECTURES = {
    "aarch64": ("arm64", ""), "armhf": ("arm", "v7"), "armel": ("arm", "v6"), "armv8l": ("arm", "v7"),
    "armv7l": ("arm", "v7"), "armv6l": ("arm", "v6"), "armv5l": ("arm", "v5"),
    "i386": ("386", ""), "i486": ("386", ""), "i586": ("386", ""), "i686": ("386", ""),
    "x86_64": ("amd64", ""), "x86-64": ("amd64", ""), "loongarch64": ("loong64", ""),
}  # fmt: skip
_KNOWN_ARCHITECTURES = {
    "386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "ppc64", "ppc64le", "loong64", "mips", "mipsle",
    "mips64", "mips64le", "mips64p32", "mips64p32le", "ppc", "riscv", "riscv64", "s390", "s390x", "sparc", "sparc64",
    "wasm",
}  # fmt: skip
_KNOWN_SYSTEMS = {
    "aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "ios", "js", "linux", "nacl", "netbsd", "openbsd",
    "plan9", "solaris", "wasip1", "windows", "zos",
}  # fmt: skip
_LEVELS = {
    "v2": {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"},
    "v3": {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"},
    "v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}
"""Flags of /proc/cpuinfo that each level of amd64 adds."""
_PART = re.compile(r"[A-Za-z0-9_.-]+")


class Platform(Struct, frozen=True, omit_defaults=True):
    """As in an index's manifest descriptor."""

    architecture: str = ""
    os: str = ""
    os_version: str = field(default="", name="os.version")
    os_features: tuple[str, ...] = field(default=(), name="os.features")
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def normalized(self) -> Platform:
        """The names that Go uses, without the variant that the architecture implies."""
        architecture, variant = normalize_architecture(self.architecture, self.variant)
        system = self.os.lower()
        return Platform(architecture, "darwin" if system == "macos" else system, self.os_version, (), variant)


def normalize_architecture(architecture: str, variant: str) -> tuple[str, str]:
    """Architecture and variant in containerd's spelling; variant v8 of arm64 and v1 of amd64 are implied."""
    architecture, implied = _ARCHITECTURES.get(architecture.lower(), (architecture.lower(), ""))
    variant = variant.lower() or implied
    if variant.isdigit() and architecture in {"arm", "arm64"}:
        variant = f"v{variant}"
    if (architecture, variant) in {("arm64", "v8"), ("amd64", "v1")}:
        variant = ""
    if architecture == "arm" and not variant:
        variant = "v7"
    return architecture, variant


def parse(text: str) -> Platform:
    """Parse `os`, `arch`, `os/arch` or `os/arch/variant`; raises InvalidArgument."""
    parts = text.split("/")
    for part in parts:
        if not _PART.fullmatch(part):
            raise InvalidArgument(
                f'"{part}" is an invalid component of "{text}": platform specifier component must match '
                '"^[A-Za-z0-9_.-]+$": invalid argument'
            )
    if len(parts) == 1:
        return _parse_single(text)
    if len(parts) > 3:
        raise InvalidArgument(f'"{text}": cannot parse platform specifier: invalid argument')
    return Platform(parts[1], parts[0], variant=parts[2] if len(parts) == 3 else "").normalized()


def parse_all(text: str) -> list[Platform]:
    """Parse a list, parted by commas; equal ones count once."""
    return list(dict.fromkeys(parse(part.strip()) for part in text.split(",") if part.strip()))


def _parse_single(text: str) -> Platform:
    if text.lower() in _KNOWN_SYSTEMS:
        here = host()
        return Platform(here.architecture, text.lower(), variant=here.variant)
    platform = Platform(text, "linux").normalized()
    if platform.architecture not in _KNOWN_ARCHITECTURES:
        raise InvalidArgument(f'"{text}": unknown operating system or architecture: invalid argument')
    return platform


def host() -> Platform:
    """This machine's platform."""
    return Platform(os.uname().machine, "linux").normalized()


@lru_cache
def detected(cpus: str = "/proc/cpuinfo") -> Platform:
    """This machine's platform with the level of its processor, as Docker shows it and chooses by it."""
    here = host()
    return Platform(here.architecture, here.os, variant=_amd64_level(cpus)) if here.architecture == "amd64" else here


def _amd64_level(cpus: str) -> str:
    """v2 to v4 of the x86-64 psABI («micro-architecture levels»)."""
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


def runnable_on(platform: Platform) -> list[Platform]:
    """What a machine of this platform can run, best first (arm64 also runs arm, amd64 also 386)."""
    platform = platform.normalized()
    architecture, variant = platform.architecture, platform.variant
    if architecture == "amd64":
        level = int(variant[1:]) if re.fullmatch(r"v[0-9]", variant) else 1
        choices = [("amd64", f"v{number}") for number in range(level, 1, -1)] + [("amd64", ""), ("386", "")]
    elif architecture == "arm":
        choices = _arm_variants(variant)
    elif architecture == "arm64":
        choices = [("arm64", variant)] + ([("arm64", "")] if variant else []) + _arm_variants("v8")
    else:
        choices = [(architecture, variant)]
    return [Platform(name, platform.os, variant=suffix) for name, suffix in choices]


def _arm_variants(highest: str) -> list[tuple[str, str]]:
    top = int(highest[1:]) if re.fullmatch(r"v[0-9]", highest) else 7
    return [("arm", f"v{number}") for number in range(top, 4, -1)]


def rank(wanted: Platform, candidate: Platform, *, strict: bool = False) -> int | None:
    """How well an image of `candidate` serves `wanted`: 0 is best, None not at all.

    `strict` accepts nothing but the platform itself: what the user asked for by `--platform`.
    """
    choices = [wanted.normalized()] if strict else runnable_on(wanted)
    offered = candidate.normalized()
    for position, choice in enumerate(choices):
        if (choice.os, choice.architecture, choice.variant) == (offered.os, offered.architecture, offered.variant):
            return position
    return None
