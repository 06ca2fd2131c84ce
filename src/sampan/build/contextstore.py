"""What clients' build contexts held, kept so that a rebuild sends only what changed.

    build/context/<id>   a pack: files' contents, one after another
    context_file         digest → pack and position;  context_pack: size and last use

Packs are not synced to the disk: whoever reads one compares with the digest that he asked for (`Pack.trusted`). There
are at most 128, of 4 GiB together, whatever was used least recently goes first; its files are sent again when wanted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..db import Database
from .cache import Record

MOST_PACKS, MOST_BYTES = 128, 4 << 30
PREFIX = "context-"
"""Of the keys of packs among those of the build cache."""
_AT_ONCE = 500


@dataclass(frozen=True)
class Place:
    """Where some contents are."""

    pack: int
    position: int


class ContextStore:
    """Used on the event loop's thread; packs are read and written anywhere."""

    def __init__(self, db: Database, directory: str) -> None:
        self._db = db
        self._directory = directory
        os.makedirs(directory, mode=0o700, exist_ok=True)
        known = {str(row["id"]) for row in db.query("SELECT id FROM context_pack")}
        there = set(os.listdir(directory))
        for name in there - known:
            os.unlink(f"{directory}/{name}")
        for name in known - there:
            self.drop(int(name))

    def find(self, keys: Iterable[bytes]) -> dict[bytes, Place]:
        """Those of the keys that are here; their packs count as used now."""
        wanted = list(keys)
        found: dict[bytes, Place] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            rows = self._db.query(f"SELECT * FROM context_file WHERE key IN ({','.join('?' * len(some))})", some)
            found |= {row["key"]: Place(row["pack"], row["position"]) for row in rows}
        packs = {place.pack for place in found.values()}
        with self._db.losable():
            self._db.execute_many(
                "UPDATE context_pack SET used = ?, uses = uses + 1 WHERE id = ?",
                [(time.time(), pack) for pack in packs],
            )
        return found

    def open(self, pack: int) -> int:
        """An fd of a pack; it stays readable whatever becomes of the pack."""
        return os.open(f"{self._directory}/{pack}", os.O_RDONLY | os.O_CLOEXEC)

    def keep(self, path: str, size: int, positions: Mapping[bytes, int]) -> None:
        """Take over a file as a pack; `positions` says what is in it."""
        now = time.time()
        with self._db.losable():
            self._db.execute("INSERT INTO context_pack (size, created, used) VALUES (?, ?, ?)", (size, now, now))
            number: int = self._db.query("SELECT last_insert_rowid() AS id")[0]["id"]
            self._db.execute_many(
                "INSERT OR IGNORE INTO context_file VALUES (?, ?, ?)",
                [(key, number, position) for key, position in positions.items()],
            )
            os.rename(path, f"{self._directory}/{number}")
        self._shrink()

    def _shrink(self) -> None:
        total = 0
        for number, row in enumerate(self._db.query("SELECT id, size FROM context_pack ORDER BY used DESC, id DESC")):
            total += row["size"]
            if number and (number >= MOST_PACKS or total > MOST_BYTES):
                self.drop(row["id"])

    def packs(self) -> list[Record]:
        """All packs, latest use first."""
        rows = self._db.query("SELECT * FROM context_pack ORDER BY used DESC, id DESC")
        return [
            Record(f"{PREFIX}{row['id']}", "", "local source", row["size"], row["created"], row["used"], row["uses"],
                   (), "source.local")
            for row in rows
        ]  # fmt: skip

    def clear(self) -> None:
        """Remove all: one of them is not what it was, and clients have everything."""
        for record in self.packs():
            self.drop(int(record.key.removeprefix(PREFIX)))

    def drop(self, pack: int) -> int:
        """Remove a pack; the bytes freed."""
        row = self._db.one("SELECT size FROM context_pack WHERE id = ?", (pack,))
        self._db.execute("DELETE FROM context_pack WHERE id = ?", (pack,))
        try:
            os.unlink(f"{self._directory}/{pack}")
        except FileNotFoundError:
            return 0
        return row["size"] if row is not None else 0
