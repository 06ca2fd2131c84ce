"""What every storage driver promises.

A snapshot is a file tree under a key. *Committed* snapshots (image layers; the key is the chain id, OCI image-spec
config.md "Layer ChainID") never change. *Active* ones (containers, build steps, a layer that is being unpacked; the
key is the owner's id) lie on one committed parent and take writes.

            prepare(key, parent)              commit(key, name)
    parent ─────────────────────▶ active key ──────────────────▶ committed name
                                     │  ▲
                          mount(key) ▼  │ unmount(key)
                                  a directory

The database row is the truth. A directory without a row is garbage and goes at the next start; a row without its
directory is reported by `check` and, for committed snapshots, removed so that a pull makes it again.

Rows change on the event loop's thread only. What takes long (`changes`, `diff`, `usage`, unpacking) touches no row
and may run in any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from sampan.tree.extract import Usage

MODIFIED, ADDED, DELETED = 0, 1, 2
"""Kinds of a change, as the Engine API numbers them."""


class SnapshotInfo(Struct, frozen=True):
    """A snapshot's row. `directory` is its number below the driver's root; `bytes` and `inodes` once committed."""

    key: str
    parent: str | None
    directory: int
    committed: bool
    bytes: int = 0
    inodes: int = 0


class Change(Struct, frozen=True, order=True):
    """One line of `docker diff`; the path is absolute."""

    path: str
    kind: int


class Problem(Struct, frozen=True):
    """What `check` found. `what` is stray (a directory without row), missing (a row without directory) or damaged."""

    what: str
    key: str
    detail: str
    repaired: bool = False


class Snapshotter(Protocol):
    """A storage driver. Errors: NotFound for an unknown key, Conflict where the state does not permit, OSError."""

    @property
    def name(self) -> str:
        """The driver's name as `docker info` shows it."""

    @property
    def copies_parents(self) -> bool:
        """Whether `prepare` takes time and space as large as the parent."""

    @property
    def has_limits(self) -> bool:
        """Whether `prepare` can limit a snapshot."""

    def prepare(self, key: str, parent: str | None, limit: int = 0) -> SnapshotInfo:
        """Make an active snapshot on a committed one (or on nothing). Conflict when the key is taken.

        Durable when it returns, cheap for all drivers but vfs. Nothing is mounted. `limit`, where the driver has
        limits, is how many bytes its own files may take.
        """

    def mount(self, key: str, mapped: bool = False) -> str:
        """The directory where the whole tree can be seen; writable for active snapshots, else read-only by promise.

        Counted: every mount needs one unmount. Counts live in memory, mounts outlive the daemon: after a restart the
        owner of a live container mounts it again, which finds the old mount, then `release_unused` drops the rest.
        With `mapped` owners look as inside a user namespace (`map_ids`); a key is always mounted one way.
        """

    def unmount(self, key: str) -> None:
        """Undo one `mount`; the last one detaches. Open files stay usable. Never raises for what is not mounted."""

    def mounted(self, key: str) -> bool:
        """Whether the tree can be seen at this moment."""

    def commit(self, key: str, name: str, usage: Usage | None = None, synced: bool = False) -> SnapshotInfo:
        """Turn an active snapshot into a committed one, atomically and durably (its files are on disk before the row).

        Conflict when `name` exists (then `key` stays as it is) or `key` is mounted. `usage` saves measuring it;
        `synced` says that the caller has waited for the tree to be on the disk (in a thread, unlike this).
        """

    def remove(self, key: str) -> None:
        """Remove a snapshot that nothing lies on. The row goes first, so a crash leaves garbage, never a half layer.

        Conflict when another snapshot has it as parent or it is mounted. An unknown key is fine. The files go in a
        thread; `settle` waits for it.
        """

    def exchange(self, key: str, other: str) -> None:
        """Let two active snapshots on the same parent change places, in one commit. Conflict while one is mounted."""

    def settle(self) -> None:
        """Wait until removed snapshots are gone from the disk."""

    def stat(self, key: str) -> SnapshotInfo:
        """The row of a snapshot."""

    def exists(self, key: str) -> bool:
        """Whether the key is known."""

    def walk(self) -> Iterator[SnapshotInfo]:
        """All snapshots, parents before children."""

    def committed_at(self, key: str) -> float:
        """When a committed snapshot was, in seconds since the epoch; 0 where that cannot be told."""

    def usage(self, key: str) -> Usage:
        """What the snapshot takes beyond its parent; measured for active ones, remembered for committed ones."""

    def upper(self, key: str) -> str | None:
        """The directory that holds only the snapshot's own files, where the driver has such a thing."""

    def lowers(self, key: str) -> list[str]:
        """The own directories of the snapshots below `key`, nearest first; empty where `upper` is None."""

    def changes(self, key: str) -> list[Change]:
        """What the snapshot changes against its parent, ordered by path, with Docker's meaning of the kinds."""

    def diff(self, key: str) -> Iterator[bytes]:
        """The layer tar of the snapshot: same tree, same bytes. Read it while nobody writes for a consistent layer."""

    def check(self, repair: bool = False) -> list[Problem]:
        """Compare rows with directories; `repair` removes strays and rows of committed snapshots that are gone."""

    def release_unused(self) -> list[str]:
        """Detach mounts that nobody has asked for since the start; returns their keys."""

    def close(self) -> None:
        """Let go; mounts of live containers stay."""
