"""One member of a tar archive, and the limits that bound an archive (S17)."""

from __future__ import annotations

from msgspec import Struct, field

from sampan.errors import InvalidArgument

REGULAR, HARDLINK, SYMLINK, CHARACTER, BLOCK, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"
BLOCK_SIZE = 512


class ArchiveError(InvalidArgument):
    """The archive is malformed, hostile, or exceeds a limit."""


class Limits(Struct, frozen=True):
    """Caps on what one archive may make: logical bytes (holes count), entries, and bytes of one header's records."""

    bytes: int = 1 << 40
    entries: int = 20_000_000
    header_bytes: int = 1 << 20  # what Go's archive/tar allows, so that what Docker reads is read here


class Entry(Struct):
    """`size` is the file's logical size in bytes, `mtime` in ns; `sparse` lists (offset, length) of stored data."""

    name: str
    type: bytes = REGULAR
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: str = ""
    major: int = 0
    minor: int = 0
    xattrs: dict[str, bytes] = field(default_factory=dict)
    sparse: list[tuple[int, int]] | None = None
