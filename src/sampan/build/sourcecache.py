"""What builds fetched from elsewhere, kept for builds to come: files by URL, checkouts by repository and commit.

    build/source/<key>   a file, or the directory of a checkout
    build_source         what it is, and when it was used

At most 64, of 4 GiB together; whatever was used least recently goes first, but never what a build is reading. Whoever
reads a file compares with its digest; a checkout is on the disk before its row is.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

from ..cas.threads import run_in_thread
from ..db import Database
from ..engine.engine import Engine
from ..linux.libc import syncfs
from ..tree.walk import usage
from .cache import Record
from .removing import remove_tree
from .session import Locks

MOST, MOST_BYTES = 64, 4 << 30
PREFIX = "source-"
"""Of the keys of sources among those of the build cache."""
GIT, HTTP = "source.git.checkout", "source.http"


@dataclass(frozen=True)
class Source:
    """One that is kept; `etag`, `digest` (sha256 in hex) and `modified` (seconds since the epoch) of a file."""

    key: str
    path: str
    etag: str = ""
    digest: str = ""
    modified: int = 0


class SourceCache:
    """Used on the event loop's thread."""

    def __init__(self, db: Database, directory: str) -> None:
        self._db = db
        self._directory = directory
        self._in_use: Counter[str] = Counter()
        self.locks = Locks()
        """By key: whoever fetches something."""
        os.makedirs(directory, mode=0o700, exist_ok=True)
        known = {row["key"] for row in db.query("SELECT key FROM build_source")}
        there = set(os.listdir(directory))
        for name in there - known:
            _remove(f"{directory}/{name}")
        for name in known - there:
            self._db.execute("DELETE FROM build_source WHERE key = ?", (name,))

    def find(self, key: str) -> Source | None:
        """What is kept under a key."""
        row = self._db.one("SELECT * FROM build_source WHERE key = ?", (key,))
        path = f"{self._directory}/{key}"
        if row is None or not os.path.exists(path):
            return None
        with self._db.losable():
            self._db.execute("UPDATE build_source SET used = ?, uses = uses + 1 WHERE key = ?", (time.time(), key))
        return Source(key, path, row["etag"], row["digest"], row["modified"])

    async def keep(self, path: str, kind: str, description: str, source: Source) -> Source:
        """Take over a file or a directory; what had the key before goes."""
        size = await run_in_thread(lambda: _settle(path))
        if os.path.isfile(path):
            os.replace(path, source.path)
        elif not os.path.exists(source.path):
            os.rename(path, source.path)
        now = time.time()
        self._db.execute(
            "INSERT OR REPLACE INTO build_source VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (source.key, kind, description, source.etag, source.digest, source.modified, size, now, now),
        )
        await self._shrink(source.key)
        return source

    def place(self, key: str) -> str:
        """Where the source of a key is kept."""
        return f"{self._directory}/{key}"

    @contextmanager
    def using(self, key: str) -> Iterator[None]:
        """It does not go meanwhile."""
        self._in_use[key] += 1
        try:
            yield
        finally:
            self._in_use[key] -= 1

    async def _shrink(self, spared: str) -> None:
        total = 0
        for number, record in enumerate(self.records()):
            total += record.size
            if (number >= MOST or total > MOST_BYTES) and record.key != f"{PREFIX}{spared}":
                path = self._forget(record.key)
                await run_in_thread(partial(_remove, path))

    def records(self) -> list[Record]:
        """All, latest use first."""
        rows = self._db.query("SELECT * FROM build_source ORDER BY used DESC")
        return [
            Record(f"{PREFIX}{row['key']}", "", row["description"], row["size"], row["created"], row["used"],
                   row["uses"], (), row["kind"])
            for row in rows
        ]  # fmt: skip

    def drop(self, key: str) -> int:
        """Remove one by its record's key; the bytes freed, none where a build is reading it."""
        size = next((record.size for record in self.records() if record.key == key), 0)
        path = self._forget(key)
        _remove(path)
        return size if path else 0

    def _forget(self, key: str) -> str:
        name = key.removeprefix(PREFIX)
        if self._in_use[name]:
            return ""
        self._db.execute("DELETE FROM build_source WHERE key = ?", (name,))
        return f"{self._directory}/{name}"

    def clear(self) -> None:
        """Remove all that no build is reading."""
        for record in self.records():
            self.drop(record.key)


def _remove(path: str) -> None:
    if os.path.isdir(path):
        remove_tree(path)
    elif os.path.exists(path):
        os.unlink(path)


def _settle(path: str) -> int:
    """Bytes of a file or of a tree, which is brought to the disk."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(fd)
    finally:
        os.close(fd)
    return usage(path).bytes


_CACHES: WeakKeyDictionary[Engine, SourceCache] = WeakKeyDictionary()


def sources_of(engine: Engine) -> SourceCache:
    """The engine's one."""
    if engine not in _CACHES:
        _CACHES[engine] = SourceCache(engine.db, f"{engine.paths.build}/source")
    return _CACHES[engine]
