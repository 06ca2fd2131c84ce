"""API versions: what is served, and what older ones lack or name differently."""

from __future__ import annotations

from typing import Final

from ..errors import InvalidArgument

Version = tuple[int, int]

CURRENT: Final[Version] = (1, 51)
MINIMUM: Final[Version] = (1, 24)


class TooOld(InvalidArgument):
    """The client speaks a version from before `MINIMUM`; the answer is plain text, as Docker's is."""


def text(version: Version) -> str:
    """`1.51`."""
    return f"{version[0]}.{version[1]}"


def parse(version: str, minimum: Version = MINIMUM) -> Version:
    """The version of a path's prefix; InvalidArgument with Docker's words when it is not served."""
    major, _, minor = version.partition(".")
    digits = (major + minor).isascii() and (major + minor).isdigit() and len(version) < 16
    found = (int(major), int(minor)) if digits and major and minor else (0, 0)
    if found < minimum:
        raise TooOld(
            f"client version {version} is too old. Minimum supported API version is {text(minimum)}, "
            "please upgrade your client to a newer version"
        )
    if found > CURRENT:
        raise InvalidArgument(f"client version {version} is too new. Maximum supported API version is {text(CURRENT)}")
    return found
