"""Packages of an rpm database, in each of the formats that rpm has had; every record is one package header.

    rpmdb.sqlite   SQLite (rpm 4.16, Fedora 33, RHEL 9)
    Packages.db    ndb, rpm's own (SUSE)
    Packages       a hash of Berkeley DB (before)

A header (rpm's format, «Header Structure»): number of index entries and of data bytes, big-endian; entries of tag,
type, offset, count; data.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterator

_DIRECTORIES = ("var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm")
PATHS = frozenset(f"{one}/{name}" for one in _DIRECTORIES for name in ("rpmdb.sqlite", "Packages.db", "Packages"))
_STRING, _I18N, _INT32 = 6, 9, 4
_TAGS = {
    1000: "name", 1001: "version", 1002: "release", 1003: "epoch", 1014: "license", 1022: "arch", 1044: "sourcerpm",
}  # fmt: skip
_MAX_ENTRIES = 1 << 16
_MAX_RECORD = 64 << 20
_IS_TABLE = "SELECT 1 FROM sqlite_master WHERE name = 'Packages' AND type = 'table'"


def headers(data: bytes) -> Iterator[dict[str, str]]:
    """The tags of every package; a database or header that cannot be read gives nothing."""
    try:
        for blob in _records(data):
            yield _header(blob)
    except (sqlite3.Error, struct.error):
        return


def _records(data: bytes) -> Iterator[bytes]:
    if data.startswith(b"RpmP"):
        return _ndb(data)
    for order in "<>":
        if data[12:16] == struct.pack(f"{order}I", _HASH_MAGIC):
            return _berkeley(data, order)
    return _sqlite(data)


def _sqlite(data: bytes) -> Iterator[bytes]:
    # A database in WAL mode wants its -wal file beside it; what is in the main file is read as it stands
    # (sqlite.org/fileformat2.html, bytes 18 and 19).
    plain = data[:18] + b"\1\1" + data[20:]
    connection = sqlite3.connect(":memory:")
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_RECORD)
        connection.deserialize(plain)
        # An image may call anything `Packages`: a view would run for as long as its maker likes.
        if connection.execute(_IS_TABLE).fetchone() is None:
            return
        for (blob,) in connection.execute("SELECT blob FROM Packages"):
            if isinstance(blob, bytes):
                yield blob
    finally:
        connection.close()


_NDB_SLOT, _NDB_PAGE, _NDB_BLOCK = 16, 4096, 16


def _ndb(data: bytes) -> Iterator[bytes]:
    """Slots of 16 bytes (`Slot`, package, block, count) behind a header of two; blobs are `BlbS`, package, sum, length.

    rpm: lib/backend/ndb/rpmpkg.c.
    """
    pages = struct.unpack_from("<I", data, 12)[0]
    end = min(pages * _NDB_PAGE, len(data))
    for position in range(2 * _NDB_SLOT, end, _NDB_SLOT):
        magic, package, block, _ = struct.unpack_from("<4sIII", data, position)
        if magic != b"Slot" or not package:
            continue
        start = block * _NDB_BLOCK
        kind, owner, _, length = struct.unpack_from("<4sIII", data, start)
        if kind == b"BlbS" and owner == package:
            yield data[start + 16 : start + 16 + length]


_HASH_MAGIC = 0x061561
_PAGE_HEADER = 26
_UNSORTED, _SORTED, _OVERFLOW = 2, 13, 7
_ON_PAGE, _OFF_PAGE = 1, 3


def _berkeley(data: bytes, order: str) -> Iterator[bytes]:
    """Every value of a hash: pages of offsets to keys and values in turn, long values on chains of overflow pages.

    Berkeley DB: dbinc/db_page.h.
    """
    size = struct.unpack_from(f"{order}I", data, 20)[0]
    if size < 512:
        raise struct.error("no page size")
    for start in range(0, len(data) - size + 1, size):
        page = data[start : start + size]
        if page[25] in (_UNSORTED, _SORTED):
            for value in _values(page, order):
                yield value if isinstance(value, bytes) else _chain(data, size, order, *value)


def _values(page: bytes, order: str) -> Iterator[bytes | tuple[int, int]]:
    """The values on a page; of a long one its first page and its length."""
    count = struct.unpack_from(f"{order}H", page, 20)[0]
    offsets = struct.unpack_from(f"{order}{count}H", page, _PAGE_HEADER)
    for before, offset in zip(offsets[::2], offsets[1::2], strict=False):
        kind = page[offset] if offset < len(page) else 0
        if kind == _OFF_PAGE:
            yield struct.unpack_from(f"{order}II", page, offset + 4)
        elif kind == _ON_PAGE:
            yield page[offset + 1 : before]  # items lie from the page's end downwards


def _chain(data: bytes, size: int, order: str, number: int, length: int) -> bytes:
    parts, found = [], 0
    while number and found < length:
        page = data[number * size : (number + 1) * size]
        number, used, kind = struct.unpack_from(f"{order}I2xHxB", page, 16)
        part = page[_PAGE_HEADER : _PAGE_HEADER + used]
        if kind != _OVERFLOW or not part:
            break
        parts.append(part)
        found += len(part)
    return b"".join(parts)[:length]


def _header(blob: bytes) -> dict[str, str]:
    if len(blob) < 8:
        return {}  # Berkeley DB's record 0 counts the others
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
