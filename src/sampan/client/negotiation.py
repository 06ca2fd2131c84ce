"""Which API version to speak, and the headers that every request carries."""

from __future__ import annotations

from .http11 import Head
from .target import Target

API_VERSION = "1.51"
USER_AGENT = "Sampan-Client/0.1 (linux)"


class Ping:
    """What `/_ping` tells."""

    __slots__ = ("api_version", "builder", "experimental", "os_type")

    def __init__(self, head: Head) -> None:
        self.api_version = head.headers.get("api-version", "")
        self.os_type = head.headers.get("ostype", "linux")
        self.experimental = head.headers.get("docker-experimental") == "true"
        self.builder = head.headers.get("builder-version", "")


def common_version(wanted: str, offered: str) -> str:
    """The lower of the two, compared as numbers."""
    return min(wanted, offered or wanted, key=_numbers)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def base_headers(target: Target, extra: dict[str, str]) -> dict[str, str]:
    return {"Host": target.host_header, "User-Agent": USER_AGENT, **extra}
