"""A layer's tar stream becomes a committed snapshot: bounded, confined, all or nothing.

    begin (loop)          apply (any thread)           commit (loop)
    prepare "unpack-…" ─▶ files, from the stream ────▶ syncfs, then the row takes the chain id

A crash leaves an active snapshot "unpack-…", which `sweep` removes at the next start.
"""

from __future__ import annotations

import os

from sampan import faults
from sampan.errors import Conflict
from sampan.linux.libc import syncfs
from sampan.tree.entry import Limits
from sampan.tree.extract import ExtractOptions, Members, Usage, Whiteouts, make
from sampan.tree.reader import Readable, TarReader
from sampan.tree.walk import usage as measure
from sampan.tree.writeback import Writeback

from .lower import LowerLayers
from .snapshotter import SnapshotInfo, Snapshotter

UNFINISHED = "unpack-"


class Unpacking:
    """One layer being unpacked. `apply` may run in a thread; the rest belongs to the event loop's thread."""

    def __init__(self, snapshotter: Snapshotter, chain_id: str, parent: str | None) -> None:
        self._snapshotter = snapshotter
        self._chain_id = chain_id
        self._key = f"{UNFINISHED}{os.urandom(16).hex()}"
        self._usage: Usage | None = None
        snapshotter.prepare(self._key, parent)
        self._upper = snapshotter.upper(self._key)
        self._lowers = snapshotter.lowers(self._key)
        self._tree = self._upper or snapshotter.mount(self._key)

    def apply(self, stream: Readable, limits: Limits | None = None) -> Usage:
        """Read the whole uncompressed stream. Raises tree.entry.ArchiveError for what is hostile or too big."""
        return self.make(TarReader(stream, limits))

    def make(self, members: Members) -> Usage:
        """As `apply`, of members that need not come from an archive."""
        whiteouts = Whiteouts.OVERLAY if self._upper else Whiteouts.DELETE
        root = os.open(self._tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with LowerLayers(self._lowers) as lower, Writeback() as writeback:
                options = ExtractOptions(whiteouts, complete=writeback.take, lower=lower.find)
                faults.point("storage.unpack.begin")
                done = make(root, members, options)
            faults.point("storage.unpack.applied")
            syncfs(root)
        finally:
            os.close(root)
        self._usage = None
        if self._upper:
            self._usage = done.usage if done.exact else measure(self._upper)
        return self._usage or done.usage

    def commit(self, chain_id: str = "") -> SnapshotInfo:
        """Make it the snapshot of the chain id, durably; where another was quicker, that one is kept.

        A chain id that is known only once the whole stream was read is given here.
        """
        self._chain_id = chain_id or self._chain_id
        self._release()
        try:
            return self._snapshotter.commit(self._key, self._chain_id, self._usage, synced=True)
        except Conflict:
            self.abort()
            return self._snapshotter.stat(self._chain_id)

    def abort(self) -> None:
        """Leave nothing behind."""
        self._release()
        self._snapshotter.remove(self._key)

    def _release(self) -> None:
        if not self._upper and self._tree:
            self._snapshotter.unmount(self._key)
            self._tree = ""


def unpack(
    snapshotter: Snapshotter, chain_id: str, parent: str | None, stream: Readable, limits: Limits | None = None
) -> Usage:
    """All three steps in one, for callers on the loop's thread; a failure leaves nothing behind."""
    unpacking = Unpacking(snapshotter, chain_id, parent)
    try:
        used = unpacking.apply(stream, limits)
    except BaseException:
        unpacking.abort()
        raise
    unpacking.commit()
    return used


def sweep(snapshotter: Snapshotter) -> list[str]:
    """Remove what a crash left half unpacked; returns the keys."""
    found = [info.key for info in snapshotter.walk() if info.key.startswith(UNFINISHED) and not info.committed]
    for key in found:
        snapshotter.remove(key)
    return found
