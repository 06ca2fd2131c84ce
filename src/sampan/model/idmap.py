"""Which ids of the host a user namespace's ids are: user_namespaces(7)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from ..errors import InvalidArgument

_TRIPLE = re.compile(r"(\d{1,10})-(\d{1,10})-([1-9]\d{0,9})")
OVERFLOW_ID = 65534
"""What the kernel shows for an id without a counterpart."""


class IdRange(Struct, frozen=True):
    """`size` ids, the first of which is `inside` in the namespace and `outside` on the host."""

    inside: int
    outside: int
    size: int


class IdMap(Struct, frozen=True):
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

    def within(self, namespace: IdMap) -> IdMap:
        """The same with what was `outside` taken for ids of a user namespace: they become the host's.

        InvalidArgument where the namespace lacks some of them.
        """
        pairs = ((self.uids, namespace.uids), (self.gids, namespace.gids))
        return IdMap(*(tuple(_within(one, ranges) for one in own) for own, ranges in pairs))

    def as_oci(self) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
        """uidMappings and gidMappings of an OCI configuration."""
        return _oci(self.uids), _oci(self.gids)


def parse(text: str) -> IdMap:
    """The map of an id-mapped bind: `uids=1000-0-1#2000-1-1;gids=…`, triples of owner on the disk, owner in the
    container, how many. What one of the two leaves out is as the other has it. InvalidArgument for anything else.
    """
    found: dict[str, tuple[IdRange, ...]] = {}
    for part in text.split(";"):
        kind, _, triples = part.partition("=")
        ranges = [_TRIPLE.fullmatch(one) for one in triples.split("#")]
        if kind not in ("uids", "gids") or kind in found or not all(ranges):
            raise InvalidArgument(f"invalid idmap: {text}: want uids=DISK-CONTAINER-COUNT[#…][;gids=…]")
        found[kind] = tuple(IdRange(*map(int, one.groups())) for one in ranges if one)
    uids = found.get("uids") or found["gids"]
    return IdMap(uids, found.get("gids") or uids)


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


def _within(wanted: IdRange, ranges: Sequence[IdRange]) -> IdRange:
    for one in ranges:
        if one.inside <= wanted.outside and wanted.outside + wanted.size <= one.inside + one.size:
            return replace(wanted, outside=wanted.outside - one.inside + one.outside)
    last = wanted.outside + wanted.size - 1
    raise InvalidArgument(f"invalid idmap: the container has no ids {wanted.outside} to {last}")


def _oci(ranges: Sequence[IdRange]) -> list[dict[str, int]]:
    return [{"containerID": one.inside, "hostID": one.outside, "size": one.size} for one in ranges]
