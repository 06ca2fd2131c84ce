"""Docker's JSON field names from Python's: `io_maximum_iops` is `IOMaximumIOps`."""

from __future__ import annotations

_WORDS = {
    "id": "ID", "ids": "IDs", "io": "IO", "iops": "IOps", "ip": "IP", "ipam": "IPAM", "ipv4": "IPv4", "ipv6": "IPv6",
    "oom": "OOM", "os": "OS", "rw": "RW", "tcp": "TCP", "url": "URL", "uts": "UTS",
}  # fmt: skip


def docker_name(name: str) -> str:
    """The JSON name of a field; the few that break the rule carry `msgspec.field(name=…)`."""
    return "".join(_WORDS.get(word) or word[:1].upper() + word[1:] for word in name.rstrip("_").split("_"))
