"""Which ids of the host a user namespace's ids are: user_namespaces(7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

OVERFLOW_ID = 65534
"""What the kernel shows for an id without a counterpart."""


@dataclass(frozen=True)
class IdRange:
    """`size` ids, the first of which is `inside` in the namespace and `outside` on the host."""

    inside: int
    outside: int
    size: int


@dataclass(frozen=True)
class IdMap:
    """The ids of `userns-remap`; each range list begins with the one that holds 0."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]

    @property
    def root(self) -> tuple[int, int]:
        """The host's (uid, gid) that is root inside."""
        return self.uids[0].outside, self.gids[0].outside

    def to_host(self, uid: int, gid: int) -> tuple[int, int]:
        """Ids inside → ids on the host; the overflow id where there is none."""
        return _to_host(self.uids, uid), _to_host(self.gids, gid)

    def to_container(self, uid: int, gid: int) -> tuple[int, int]:
        """Ids on the host → ids inside; the overflow id where there is none."""
        return _to_container(self.uids, uid), _to_container(self.gids, gid)

    def as_oci(self) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
        """uidMappings and gidMappings of an OCI configuration."""
        return _oci(self.uids), _oci(self.gids)


def _to_host(ranges: Sequence[IdRange], number: int) -> int:
    for one in ranges:
        if one.inside <= number < one.inside + one.size:
            return number - one.inside + one.outside
    return OVERFLOW_ID


def _to_container(ranges: Sequence[IdRange], number: int) -> int:
    for one in ranges:
        if one.outside <= number < one.outside + one.size:
            return number - one.outside + one.inside
    return OVERFLOW_ID


def _oci(ranges: Sequence[IdRange]) -> list[dict[str, int]]:
    return [{"containerID": one.inside, "hostID": one.outside, "size": one.size} for one in ranges]
