"""Storage as images see it: the only place where the two meet."""

from __future__ import annotations

from collections.abc import Iterable

from ..cas.compression import Readable
from ..errors import Conflict
from ..oci import digest as digests
from ..storage import Limits, Snapshotter, Unpacking
from ..tree.extract import Members


class LayerUnpacking:
    """`image.layers.Unpacking` over storage's."""

    def __init__(self, snapshotter: Snapshotter, parent: str | None, limits: Limits | None) -> None:
        self._limits = limits
        self._unpacking = Unpacking(snapshotter, "", parent)

    def apply(self, stream: Readable) -> int:
        """Unpack a tar stream; returns its bytes."""
        return self._unpacking.apply(stream, self._limits).bytes

    def make(self, members: Members) -> int:
        """As `apply`, of members that need not come from an archive."""
        return self._unpacking.make(members).bytes

    def commit(self, chain_id: str) -> None:
        """Make it the snapshot of the chain ID."""
        self._unpacking.commit(chain_id)

    def abort(self) -> None:
        """Leave nothing behind."""
        self._unpacking.abort()


class LayerSnapshots:
    """`image.layers.Snapshots` over a snapshotter."""

    def __init__(self, snapshotter: Snapshotter, limits: Limits | None = None) -> None:
        self._snapshotter = snapshotter
        self._limits = limits

    def size(self, chain_id: str) -> int | None:
        """Bytes of a layer that is unpacked, None when it is not there."""
        if not self._snapshotter.exists(chain_id):
            return None
        return self._snapshotter.usage(chain_id).bytes

    def begin(self, parent: str | None) -> LayerUnpacking:
        """Begin a layer on `parent`."""
        return LayerUnpacking(self._snapshotter, parent, self._limits)

    def walk(self) -> Iterable[tuple[str, float, int]]:
        """Chain ID, time of its commit, bytes of the layers that no container or build stands on, children first."""
        rows = list(self._snapshotter.walk())
        standing = {info.key for info in rows if not info.committed}
        for info in reversed(rows):
            if info.key in standing and info.parent:
                standing.add(info.parent)
            elif info.committed and digests.is_digest(info.key) and info.key not in standing:
                yield info.key, self._snapshotter.committed_at(info.key), info.bytes

    def remove(self, chain_id: str) -> bool:
        """Remove a layer; False while something stands on it, or when there is none."""
        if not self._snapshotter.exists(chain_id):
            return False
        try:
            self._snapshotter.remove(chain_id)
        except Conflict:
            return False
        return True
