"""S31: a full disk under the database loses what could not be committed, and nothing after that."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from sampan.db import Database
from sampan.linux.mount import MNT_DETACH, mount, umount2


def names(path: str) -> list[str]:
    """What a daemon that comes up now would find."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return [row[0] for row in connection.execute("SELECT name FROM thing ORDER BY name")]
    finally:
        connection.close()


def test_s31_a_commit_on_a_full_disk_is_taken_back(tmp_path: Path) -> None:
    mount("tmpfs", str(tmp_path), "tmpfs", 0, "size=2m")
    db = Database(f"{tmp_path}/db")
    try:
        db.execute("CREATE TABLE thing (name TEXT, data BLOB)")
        db.execute("INSERT INTO thing VALUES ('before', '')")
        with open(tmp_path / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                pass  # full now
        with pytest.raises(OSError) as failed, db.transaction():
            db.execute("INSERT INTO thing VALUES ('lost', ?)", (b"x" * 100_000,))
        assert failed.value.errno in (errno.ENOSPC, errno.EIO)
        os.unlink(tmp_path / "filler")
        with db.transaction():
            db.execute("INSERT INTO thing VALUES ('later', '')")
        assert names(db.path) == ["before", "later"]
    finally:
        db.close()
        umount2(str(tmp_path), MNT_DETACH)
