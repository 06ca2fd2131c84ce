"""Rows, directories and markers that all drivers share.

snapshots/<driver>/
  .sampan               this directory is ours; nothing is ever deleted in one without it (S29)
  <number>/             0700, one snapshot
    .snapshot           its marker: {"key", "parent", "committed"}; lets a lost database be rebuilt (S31)
    …                   the driver's own
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from sampan import faults
from sampan.db import Database
from sampan.errors import Conflict, NotFound
from sampan.linux import quota
from sampan.linux.libc import syncfs
from sampan.linux.mount import MNT_DETACH, UMOUNT_NOFOLLOW, umount2
from sampan.tree.extract import Usage
from sampan.tree.janitor import Janitor
from sampan.tree.marked import mark_root, remove_marked

from .idmapped import Mapper, unmappable
from .snapshotter import Change, Problem, SnapshotInfo

MARKER = ".snapshot"
_UNNAMED = ".new-"


def init_key(parent: str | None) -> str:
    """The key of the init layer on a snapshot: it comes and goes with it."""
    return f"init:{parent or ''}"


_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")


class Marker(msgspec.Struct):
    """What `.snapshot` holds."""

    key: str
    parent: str | None
    committed: bool


class Layers(ABC):
    """Base of the drivers: everything but how a tree is made, shown and compared."""

    name = ""
    copies_parents = False
    has_limits = False
    """Whether `prepare` takes a limit: the file system holds projects to their quotas."""

    def __init__(self, root: str, db: Database) -> None:
        self.root = f"{root}/{self.name}"
        self._db = db
        self._rows: dict[str, SnapshotInfo] = {}
        self._children: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._janitor = Janitor()
        self._discarded: set[int] = set()
        self.mapper: Mapper | None = None
        mark_root(self.root)
        for name in os.listdir(self.root):
            if name.startswith(_UNNAMED):
                os.rmdir(f"{self.root}/{name}")  # a daemon died between two calls
        for row in db.query("SELECT * FROM snapshot WHERE driver = ? ORDER BY directory", (self.name,)):
            self._index(
                _info(row["key"], row["parent"], row["directory"], row["committed"], row["bytes"], row["inodes"])
            )
        if not self._rows:
            self._adopt()

    # what a driver does

    @abstractmethod
    def _make(self, path: str, parent: SnapshotInfo | None) -> None:
        """Fill a new snapshot's directory."""

    @abstractmethod
    def _show(self, info: SnapshotInfo, mapped: bool = False) -> str:
        """Mount if need be; the path of the whole tree."""

    @abstractmethod
    def _tree(self, info: SnapshotInfo) -> str:
        """The path of the whole tree, or where it would be mounted."""

    @abstractmethod
    def _measure(self, info: SnapshotInfo) -> Usage: ...

    @abstractmethod
    def changes(self, key: str) -> list[Change]: ...

    @abstractmethod
    def diff(self, key: str) -> Iterator[bytes]: ...

    def upper(self, key: str) -> str | None:
        return None

    def lowers(self, key: str) -> list[str]:
        return []

    def _seal(self, info: SnapshotInfo) -> None:  # noqa: B027 (a hook that most drivers leave empty)
        """A committed snapshot keeps nothing that only an active one needs."""

    def _dispose(self, path: str) -> None:
        """Remove a snapshot's directory."""
        if self.has_limits and os.path.isdir(path):
            quota.release(path)
        remove_marked(self.root, os.path.basename(path))

    def _is_whole(self, info: SnapshotInfo) -> bool:
        return os.path.isdir(self.path(info))

    # rows

    def path(self, info: SnapshotInfo) -> str:
        """The directory of a snapshot."""
        return f"{self.root}/{info.directory}"

    def stat(self, key: str) -> SnapshotInfo:
        try:
            return self._rows[key]
        except KeyError:
            raise NotFound(f"snapshot {key} does not exist") from None

    def exists(self, key: str) -> bool:
        return key in self._rows

    def walk(self) -> Iterator[SnapshotInfo]:
        yield from sorted(self._rows.values(), key=lambda info: info.directory)

    def parents(self, key: str) -> Iterator[SnapshotInfo]:
        """The snapshots below `key`, nearest first."""
        parent = self.stat(key).parent
        while parent is not None:
            info = self.stat(parent)
            yield info
            parent = info.parent

    def _index(self, info: SnapshotInfo) -> None:
        self._rows[info.key] = info
        if info.parent is not None:
            self._children[info.parent] = self._children.get(info.parent, 0) + 1

    def _unindex(self, info: SnapshotInfo) -> None:
        del self._rows[info.key]
        if info.parent is not None:
            self._children[info.parent] -= 1
            if not self._children[info.parent]:
                del self._children[info.parent]

    # life cycle

    def prepare(self, key: str, parent: str | None, limit: int = 0) -> SnapshotInfo:
        below = self.stat(parent) if parent is not None else None
        if key in self._rows:
            raise Conflict(f"snapshot {key} already exists")
        if below is not None and not below.committed:
            raise Conflict(f"snapshot {parent} is not committed")
        info = SnapshotInfo(key, parent, self._new_directory(), committed=False)
        try:
            self._write_marker(info)
            faults.point("storage.prepare.made")
            if limit:
                quota.limit(self.path(info), limit)
            self._make(self.path(info), below)
            self._insert(info)
        except BaseException:
            self._discard(info.directory)
            raise
        self._index(info)
        return info

    def _new_directory(self) -> int:
        row = self._db.one("SELECT max(seq) AS top FROM sqlite_sequence WHERE name = 'snapshot'")
        number = (row["top"] or 0 if row is not None else 0) + 1
        while os.path.lexists(f"{self.root}/{number}"):
            number += 1
        # ext4 chooses the place by the name that a directory is born with (`spread_children`), and low numbers recur
        born = f"{self.root}/{_UNNAMED}{os.urandom(8).hex()}"
        os.mkdir(born, 0o700)
        os.rename(born, f"{self.root}/{number}")
        return number

    def _insert(self, info: SnapshotInfo) -> None:
        self._db.execute(
            "INSERT INTO snapshot (directory, driver, key, parent, committed, bytes, inodes)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (info.directory, self.name, info.key, info.parent, info.committed, info.bytes, info.inodes),
        )

    def _write_marker(self, info: SnapshotInfo) -> None:
        path = f"{self.path(info)}/{MARKER}"
        with open(f"{path}.new", "wb") as file:
            file.write(msgspec.json.encode(Marker(info.key, info.parent, info.committed)))
        os.rename(f"{path}.new", path)

    def commit(self, key: str, name: str, usage: Usage | None = None, synced: bool = False) -> SnapshotInfo:
        old = self.stat(key)
        if name in self._rows:
            raise Conflict(f"snapshot {name} already exists")
        if old.committed or self._counts.get(key):
            raise Conflict(f"snapshot {key} is committed or in use")
        measured = usage or self._measure(old)
        new = SnapshotInfo(name, old.parent, old.directory, True, measured.bytes, measured.inodes)
        self._seal(old)
        self._write_marker(new)
        faults.point("storage.commit.before-sync")
        if synced:
            self._sync_marker(new)
        else:
            self.sync()
        faults.point("storage.commit.before-row")
        self._db.execute(
            "UPDATE snapshot SET key = ?, committed = 1, bytes = ?, inodes = ? WHERE directory = ? AND driver = ?",
            (name, new.bytes, new.inodes, new.directory, self.name),
        )
        self._unindex(old)
        self._index(new)
        return new

    def _sync_marker(self, info: SnapshotInfo) -> None:
        for path in (f"{self.path(info)}/{MARKER}", self.path(info), self.root):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def sync(self) -> None:
        """Wait until all that was written below the root is on the disk (S31)."""
        fd = os.open(self.root, os.O_RDONLY | os.O_CLOEXEC)
        try:
            syncfs(fd)
        finally:
            os.close(fd)

    def remove(self, key: str) -> None:
        info = self._rows.get(key)
        if info is None:
            return
        if self._children.get(key) == 1 and init_key(key) in self._rows:
            self.remove(init_key(key))  # or Conflict: a container lies on it
        if self._children.get(key):
            raise Conflict(f"snapshot {key} has snapshots on it")
        if self._counts.get(key):
            raise Conflict(f"snapshot {key} is in use")
        self._detach(info)
        self._db.execute("DELETE FROM snapshot WHERE directory = ? AND driver = ?", (info.directory, self.name))
        self._unindex(info)
        faults.point("storage.remove.row-gone")
        self._db.when_committed(lambda: self._discard(info.directory))

    def exchange(self, key: str, other: str) -> None:
        first, second = self.stat(key), self.stat(other)
        if first.committed or second.committed or first.parent != second.parent:
            raise Conflict(f"snapshots {key} and {other} are not active ones on the same parent")
        if self._counts.get(key) or self._counts.get(other):
            raise Conflict(f"snapshot {key} or {other} is in use")
        swapped = (replace(first, directory=second.directory), replace(second, directory=first.directory))
        with self._db.transaction():
            sql = "UPDATE snapshot SET key = ? WHERE directory = ? AND driver = ?"
            self._db.execute(sql, (f"~{key}", first.directory, self.name))  # keys are unique at every moment
            for info in swapped:
                self._db.execute(sql, (info.key, info.directory, self.name))
        for info in swapped:
            self._rows[info.key] = info
            self._write_marker(info)

    def _discard(self, number: int) -> None:
        """Remove a directory that has no row, beside the loop: large layers take seconds."""
        path = f"{self.root}/{number}"
        self._discarded.add(number)
        self._janitor.add(lambda: self._dispose(path), path)

    def committed_at(self, key: str) -> float:
        try:
            return os.stat(f"{self.path(self.stat(key))}/{MARKER}").st_mtime
        except FileNotFoundError:
            return 0.0

    def settle(self) -> None:
        """Wait until removed snapshots are gone from the disk."""
        self._janitor.settle()
        self._discarded.clear()

    def usage(self, key: str) -> Usage:
        info = self.stat(key)
        return Usage(info.bytes, info.inodes) if info.committed else self._measure(info)

    # mounts

    def map_ids(self, mapper: Mapper) -> None:
        """Be ready for `mount(mapped=True)`; InvalidArgument where kernel, file system or driver cannot."""
        raise unmappable(self.name, "the driver cannot")

    def mount(self, key: str, mapped: bool = False) -> str:
        info = self.stat(key)
        path = self._show(info, mapped)
        self._counts[key] = self._counts.get(key, 0) + 1
        return path

    def unmount(self, key: str) -> None:
        count = self._counts.get(key, 0)
        if count > 1:
            self._counts[key] = count - 1
            return
        self._counts.pop(key, None)
        if key in self._rows:
            self._detach(self._rows[key])

    def mounted(self, key: str) -> bool:
        info = self._rows.get(key)
        return info is not None and self._is_mounted(info)

    def _is_mounted(self, info: SnapshotInfo) -> bool:
        return self._counts.get(info.key, 0) > 0

    def _detach(self, info: SnapshotInfo) -> None:
        if self._is_mounted(info):
            umount2(self._tree(info), MNT_DETACH | UMOUNT_NOFOLLOW)

    def release_unused(self) -> list[str]:
        released = [info.key for info in self.walk() if self._is_mounted(info) and not self._counts.get(info.key)]
        for key in released:
            self._detach(self._rows[key])
        return released

    # reconciliation

    def _numbers(self) -> set[int]:
        return {int(name) for name in os.listdir(self.root) if name.isdecimal()}

    def _adopt(self) -> None:
        """The database is new or was lost: take over the snapshots whose markers and parents are whole.

        Of the active ones only containers' layers, which hold users' data; the rest is work that was cut short.
        """
        found: dict[str, SnapshotInfo] = {}
        for number in sorted(self._numbers()):
            marker = self._read_marker(number)
            if marker is not None and (marker.committed or _CONTAINER_ID.fullmatch(marker.key)):
                found[marker.key] = SnapshotInfo(marker.key, marker.parent, number, marker.committed)
        for info in found.values():
            chain = [info]
            while chain[-1].parent in found and len(chain) <= len(found):
                chain.append(found[chain[-1].parent or ""])
            if chain[-1].parent is None:
                for one in reversed(chain):
                    self._adopt_one(one)

    def _adopt_one(self, info: SnapshotInfo) -> None:
        if info.key in self._rows or not self._is_whole(info):
            return
        if info.committed:
            measured = self._measure(info)
            info = SnapshotInfo(info.key, info.parent, info.directory, True, measured.bytes, measured.inodes)
        self._insert(info)
        self._index(info)

    def _read_marker(self, number: int) -> Marker | None:
        try:
            with open(f"{self.root}/{number}/{MARKER}", "rb") as file:
                return msgspec.json.decode(file.read(1 << 16), type=Marker)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def check(self, repair: bool = False, deep: bool = False) -> list[Problem]:
        """As promised; `deep` also measures every committed snapshot and compares with what was unpacked."""
        problems = [*self._check_strays(repair), *self._check_rows(repair)]
        if deep:
            problems.extend(self._check_contents())
        return problems

    def _check_strays(self, repair: bool) -> list[Problem]:
        known = {info.directory for info in self._rows.values()}
        found = []
        for number in sorted(self._numbers() - known - self._discarded):
            if repair:
                self._discard(number)
            found.append(Problem("stray", "", f"{self.root}/{number}", repair))
        return found

    def _check_rows(self, repair: bool) -> list[Problem]:
        """Children before parents, so that a broken layer takes along what lies on it."""
        found = []
        for info in sorted(self._rows.values(), key=lambda info: -info.directory):
            broken = not self._is_whole(info)
            if not broken:
                continue
            repaired = False
            if repair:
                repaired = self._drop_broken(info) if info.committed else self._make_again(info)
            found.append(Problem("missing", info.key, self.path(info), repaired))
        return found

    def _drop_broken(self, info: SnapshotInfo) -> bool:
        if self._children.get(info.key):
            return False
        self.remove(info.key)
        return True

    def _make_again(self, info: SnapshotInfo) -> bool:
        """A container whose writable layer is gone starts from its image again: what was in it cannot come back."""
        parent = self._rows.get(info.parent or "")
        if parent is not None and not self._is_whole(parent):
            return False
        if not os.path.isdir(self.path(info)):
            os.mkdir(self.path(info), 0o700)
        self._write_marker(info)
        self._make(self.path(info), parent)
        return True

    def _check_contents(self) -> list[Problem]:
        found = []
        for info in self.walk():
            if not info.committed or not self._is_whole(info):
                continue
            measured = self._measure(info)
            if measured != Usage(info.bytes, info.inodes):
                detail = f"has {measured.bytes} bytes in {measured.inodes} inodes, not {info.bytes} in {info.inodes}"
                found.append(Problem("damaged", info.key, detail))
        return found

    def close(self) -> None:
        self._counts.clear()
        self._janitor.close()
        if self.mapper is not None:
            self.mapper.close()


def _info(key: str, parent: str | None, directory: int, committed: int, size: int, inodes: int) -> SnapshotInfo:
    return SnapshotInfo(key, parent, directory, bool(committed), size, inodes)
