"""The engine's database: SQLite in WAL mode, synchronous=FULL, numbered migrations.

Migrations are the files `db/migrations/NNN_name.sql`, applied once each, in order, and noted in the table
`migration`. A migration that has landed is never edited. Every package that keeps rows owns its tables:
001 image, 002 storage, 003 engine (containers), 004 network, 005 volume, 006 events, 007 build, 008 secret.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Row = sqlite3.Row
Value = str | bytes | int | float | None


class Database:
    """One connection, used from the event loop's thread only; a commit is one fsync (0.7 ms on an SSD).

    A file that SQLite cannot open or finds damaged (it looks through 15 MB in 0.1 s) is moved aside as `<path>.damaged`
    and an empty database takes its place, so that the daemon always starts (S31); `damaged` then holds the path of the
    old file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.damaged: str | None = None
        self._after_commit: list[Callable[[], None]] = []
        self.is_new = not os.path.exists(path)
        """No earlier content: a first start, or what there was is lost."""
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError:
            self.damaged = f"{path}.damaged"
            self.is_new = True
            os.replace(path, self.damaged)
            for suffix in ("-wal", "-shm"):
                if os.path.exists(path + suffix):
                    os.replace(path + suffix, self.damaged + suffix)
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, cached_statements=256)
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            _migrate(connection)
            _check(connection)
        except sqlite3.DatabaseError:
            connection.close()
            raise
        os.chmod(self.path, 0o600)
        return connection

    def query(self, sql: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """All rows of a SELECT."""
        with _as_os_errors():
            return self._connection.execute(sql, parameters).fetchall()

    def one(self, sql: str, parameters: Sequence[Value] = ()) -> Row | None:
        """The first row of a SELECT, or None."""
        with _as_os_errors():
            row: Row | None = self._connection.execute(sql, parameters).fetchone()
        return row

    def execute(self, sql: str, parameters: Sequence[Value] = ()) -> int:
        """Run one statement (committed by itself outside a transaction); returns the number of rows changed."""
        with _as_os_errors():
            return self._connection.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run one statement for each row; wrap in `transaction()`."""
        with _as_os_errors():
            self._connection.executemany(sql, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, one fsync at the end. Nested transactions join the outer one. Never await inside."""
        if self._connection.in_transaction:
            yield
            return
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            self._after_commit.clear()
            self._roll_back()
            raise
        due, self._after_commit = self._after_commit, []
        for work in due:
            work()

    def when_committed(self, work: Callable[[], None]) -> None:
        """Do something once the present transaction is on the disk, never if it fails; at once where there is none."""
        if self._connection.in_transaction:
            self._after_commit.append(work)
        else:
            work()

    @contextmanager
    def losable(self) -> Iterator[None]:
        """A transaction without an fsync, for what may be lost with the machine's power: it outlives the process, and
        comes to the disk with the next one (sqlite.org/pragma.html, synchronous=NORMAL in WAL mode)."""
        if self._connection.in_transaction:
            yield
            return
        self.execute("PRAGMA synchronous=NORMAL")
        try:
            with self.transaction():
                yield
        finally:
            self.execute("PRAGMA synchronous=FULL")

    def _roll_back(self) -> None:
        # A COMMIT that fails may leave the transaction open; other errors may have closed it
        # (sqlite.org/lang_transaction.html, "Response To Errors Within A Transaction").
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; the write-ahead log is folded in."""
        self._connection.close()


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """What the disk does to SQLite is an OSError as for any other file: ENOSPC for a full one, else EIO."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = errno.ENOSPC if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL else errno.EIO
        raise OSError(code, f"database: {error}") from error


def _check(connection: sqlite3.Connection) -> None:
    """A damaged page shows itself only when it is read, which may be weeks later and in the middle of anything."""
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _migrate(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY) WITHOUT ROWID")
    done = {row[0] for row in connection.execute("SELECT number FROM migration")}
    directory = f"{os.path.dirname(__file__)}/migrations"
    for name in sorted(name for name in os.listdir(directory) if name.endswith(".sql")):
        number = int(name.split("_", 1)[0])
        if number not in done:
            with open(f"{directory}/{name}", encoding="utf-8") as script:
                sql = script.read()
            connection.executescript(f"BEGIN IMMEDIATE; {sql}; INSERT INTO migration VALUES ({number}); COMMIT;")
