"""tar headers to entries and back: ustar, PAX (POSIX.1-2001 pax(1)) and GNU tar's extensions. No I/O."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache

from .entry import BLOCK as BLOCK_DEVICE
from .entry import BLOCK_SIZE, CHARACTER, REGULAR, ArchiveError, Entry

_SECOND = 1_000_000_000
_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12s")
XATTR_RECORD = "SCHILY.xattr."
Records = list[tuple[str, bytes]]

_EXTENSIONS = frozenset((b"x", b"g", b"L", b"K"))
_CONTENT = frozenset((REGULAR, b"\0", b"7", b"S"))
"""Types that carry a file's bytes; for the others a size in the header means nothing (Go: isHeaderOnly)."""


def text(value: bytes) -> str:
    """A field's bytes up to its first NUL."""
    end = value.find(b"\0")
    return (value if end < 0 else value[:end]).decode("utf-8", "surrogateescape")


@lru_cache(maxsize=4096)
def number(value: bytes) -> int:
    """An octal or base-256 field; signs and digits that int() alone would accept are refused."""
    if value[0] & 0x80:
        return int.from_bytes(bytes((value[0] & 0x7F,)) + value[1:], "big") - (
            1 << (8 * len(value) - 1) if value[0] & 0x40 else 0
        )
    digits = value.strip(b" \0")
    if not digits:
        return 0
    if not digits.isdigit():
        raise ArchiveError(f"invalid tar header: number {digits!r}")
    try:
        return int(digits, 8)
    except ValueError:
        raise ArchiveError(f"invalid tar header: number {digits!r}") from None


def parse(block: bytes) -> Entry:
    """The entry of one header block; the extended records before it are applied by `apply_records`."""
    (name, mode, uid, gid, size, mtime, checksum, kind, link, magic, _, _, major, minor, prefix, _) = _HEADER.unpack(
        block
    )
    if not _is_intact(block, number(checksum)):
        raise ArchiveError("invalid tar header: checksum does not match")
    if kind in _EXTENSIONS:
        return Entry("", kind, size=stored_size(number(size), kind))  # only its data counts
    ustar = magic.startswith(b"ustar")
    path = text(name)
    if ustar and magic != b"ustar  \0" and prefix[0]:
        path = f"{text(prefix)}/{path}"
    entry = Entry(path, kind, number(mode) & 0o7777, number(uid), number(gid), link=text(link))
    entry.mtime = number(mtime) * 1_000_000_000
    if kind in (CHARACTER, BLOCK_DEVICE):
        entry.major, entry.minor = number(major), number(minor)
    entry.size = stored_size(number(size), kind)
    return entry


def _is_intact(block: bytes, expected: int) -> bool:
    total = sum(block) - sum(block[148:156]) + 256
    if total == expected:
        return True
    # some old tars summed signed bytes
    return total - 256 * sum(byte >> 7 for byte in block[:148] + block[156:]) == expected


def stored_size(size: int, kind: bytes) -> int:
    """The bytes that follow a header of this type."""
    if size < 0:
        raise ArchiveError("invalid tar header: negative size")
    return size if kind in _CONTENT or kind in _EXTENSIONS else 0


def parse_records(data: bytes) -> Records:
    """PAX records `length key=value\\n`, in order (GNU.sparse.offset may repeat)."""
    records: Records = []
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 21)
        if space < 0 or not data[position:space].isdigit():
            raise ArchiveError("invalid tar header: PAX record")
        end = position + int(data[position:space])
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end <= space + 2 or end > len(data) or data[end - 1 : end] != b"\n" or not equals or not key:
            raise ArchiveError("invalid tar header: PAX record")
        records.append((key.decode("utf-8", "surrogateescape"), value))
        position = end
    return records


def apply_records(entry: Entry, records: Records) -> None:
    """What PAX records say goes before what the header says; `sparse` maps in records are the reader's."""
    for key, value in records:
        if key == "path":
            entry.name = _path(value)
        elif key == "linkpath":
            entry.link = _path(value)
        elif key == "size":
            entry.size = stored_size(_decimal(value), entry.type)
        elif key == "uid":
            entry.uid = _decimal(value)
        elif key == "gid":
            entry.gid = _decimal(value)
        elif key == "mtime":
            entry.mtime = _time(value)
        elif key.startswith(XATTR_RECORD):
            entry.xattrs[key[len(XATTR_RECORD) :]] = value


def _path(value: bytes) -> str:
    if b"\0" in value:
        raise ArchiveError("invalid tar header: NUL in a path")
    return value.decode("utf-8", "surrogateescape")


def _decimal(value: bytes) -> int:
    if not value.isdigit() or len(value) > 20:
        raise ArchiveError(f"invalid tar header: number {value[:32]!r}")
    return int(value)


def _time(value: bytes) -> int:
    negative = value.startswith(b"-")
    whole, _, fraction = value.lstrip(b"-").partition(b".")
    if not whole.isdigit() or len(whole) > 19 or (fraction and not fraction.isdigit()):
        raise ArchiveError(f"invalid tar header: time {value[:32]!r}")
    nanoseconds = int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    return -nanoseconds if negative else nanoseconds


def render(entry: Entry) -> bytes:
    """The header blocks of an entry: ustar, with a PAX header before it only for what ustar cannot hold."""
    name = entry.name.encode("utf-8", "surrogateescape")
    link = entry.link.encode("utf-8", "surrogateescape")
    seconds = entry.mtime // _SECOND
    prefix, short = _split(name)
    extended = b"".join(_records(entry, name if short is None else b"", link))
    header = _block(entry, prefix, (short if short is not None else name[:100]), link[:100], seconds)
    if not extended:
        return header
    holder = Entry("PaxHeaders.0/" + entry.name.rsplit("/", 1)[-1][:40], b"x", 0o644, size=len(extended))
    name = holder.name.encode("utf-8", "surrogateescape")[:100]
    return _block(holder, b"", name, b"", 0) + padded(extended) + header


def _records(entry: Entry, name: bytes, link: bytes) -> Iterator[bytes]:
    """What ustar cannot hold; `name` is empty where it can."""
    if name:
        yield pax("path", name)
    if entry.xattrs:
        yield from (pax(f"{XATTR_RECORD}{key}", value) for key, value in sorted(entry.xattrs.items()))
    if len(link) > 100:
        yield pax("linkpath", link)
    if entry.mtime % _SECOND or not 0 <= entry.mtime < _SECOND * 8**11:
        yield pax("mtime", _format_time(entry.mtime))
    if entry.size >= 8**11:
        yield pax("size", b"%d" % entry.size)
    if entry.uid >= 8**7:
        yield pax("uid", b"%d" % entry.uid)
    if entry.gid >= 8**7:
        yield pax("gid", b"%d" % entry.gid)


def _format_time(nanoseconds: int) -> bytes:
    sign = b"-" if nanoseconds < 0 else b""
    seconds, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    return sign + (b"%d.%09d" % (seconds, fraction)).rstrip(b"0").rstrip(b".")


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """(prefix, name) as ustar stores a path, or (…, None) when it does not fit or is not ASCII."""
    if not name.isascii():
        return b"", None
    if len(name) <= 100:
        return b"", name
    cut = name.find(b"/", max(0, len(name) - 101))
    if 0 < cut <= 155 and 0 < len(name) - cut - 1 <= 100:
        return name[:cut], name[cut + 1 :]
    return b"", None


def _block(entry: Entry, prefix: bytes, name: bytes, link: bytes, seconds: int) -> bytes:
    before, after, total = _constant(entry.mode, entry.uid, entry.gid, entry.major, entry.minor)
    size, mtime = _octal(entry.size, 11), _octal(seconds, 11)
    total += sum(name) + sum(size) + sum(mtime) + sum(entry.type) + sum(link) + sum(prefix)
    return b"".join((
        name.ljust(100, b"\0"), before, size, mtime, b"%06o\0 " % total, entry.type, link.ljust(100, b"\0"), after,
        prefix.ljust(167, b"\0"),
    ))  # fmt: skip


@lru_cache(maxsize=256)
def _constant(mode: int, uid: int, gid: int, major: int, minor: int) -> tuple[bytes, bytes, int]:
    """What most members of an archive have in common: the fields before the size and behind the link, and their sum."""
    before = b"%07o\0" % mode + _octal(uid, 7) + _octal(gid, 7)
    after = b"ustar\x0000" + bytes(64) + _octal(major, 7) + _octal(minor, 7)
    return before, after, sum(before) + sum(after) + sum(b" " * 8)


def _octal(value: int, digits: int) -> bytes:
    return b"%0*o\0" % (digits, value if 0 <= value < 8**digits else 0)


def pax(key: str, value: bytes) -> bytes:
    """One PAX record; its length counts its own digits."""
    body = b" %s=%s\n" % (key.encode("utf-8", "surrogateescape"), value)
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length = len(b"%d" % length) + len(body)
    return b"%d%s" % (length, body)


def padded(data: bytes) -> bytes:
    """Data filled up to whole blocks."""
    return data + bytes(-len(data) % BLOCK_SIZE)


def gnu_sparse_map(block: bytes, start: int, count: int) -> Iterator[tuple[int, int]]:
    """The (offset, length) pairs in an old GNU sparse header or one of its continuation blocks."""
    for position in range(start, start + 24 * count, 24):
        if block[position] == 0:
            return
        yield number(block[position : position + 12]), number(block[position + 12 : position + 24])
