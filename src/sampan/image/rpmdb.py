"""Packages of an rpm database in SQLite (rpm 4.16 and later): each row's blob is one package header.

A header (rpm's format, «Header Structure»): number of index entries and of data bytes, big-endian; entries of tag,
type, offset, count; data.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator

PATHS = ("var/lib/rpm/rpmdb.sqlite", "usr/lib/sysimage/rpm/rpmdb.sqlite")
_STRING, _I18N, _INT32 = 6, 9, 4
_TAGS = {
    1000: "name", 1001: "version", 1002: "release", 1003: "epoch", 1014: "license", 1022: "arch", 1044: "sourcerpm",
}  # fmt: skip
_MAX_ENTRIES = 1 << 16


def headers(data: bytes) -> Iterator[dict[str, str]]:
    """The tags of every package; a database or header that cannot be read gives nothing."""
    # A database in WAL mode wants its -wal file beside it; what is in the main file is read as it stands
    # (sqlite.org/fileformat2.html, bytes 18 and 19).
    plain = data[:18] + b"\1\1" + data[20:]
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(plain)
        for (blob,) in connection.execute("SELECT blob FROM Packages"):
            if isinstance(blob, bytes):
                yield _header(blob)
    except (sqlite3.Error, struct.error):
        return
    finally:
        connection.close()


def _header(blob: bytes) -> dict[str, str]:
    entries, size = struct.unpack_from(">II", blob)
    if entries > _MAX_ENTRIES or 8 + 16 * entries + size > len(blob):
        return {}
    data = blob[8 + 16 * entries :]
    found = {}
    for position in range(entries):
        tag, kind, offset, _ = struct.unpack_from(">IIII", blob, 8 + 16 * position)
        if tag not in _TAGS or offset >= len(data):
            continue
        if kind in (_STRING, _I18N):
            found[_TAGS[tag]] = data[offset:].split(b"\0", 1)[0].decode(errors="replace")
        elif kind == _INT32:
            found[_TAGS[tag]] = str(struct.unpack_from(">I", data, offset)[0])
    return found
