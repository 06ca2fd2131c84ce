"""Between Go's os.FileMode, which fsutil's packets carry, and the mode of stat(2)."""

from __future__ import annotations

import stat
from functools import lru_cache

from ..errors import InvalidArgument

_KINDS = {
    1 << 31: stat.S_IFDIR,
    1 << 27: stat.S_IFLNK,
    1 << 26: stat.S_IFBLK,
    1 << 26 | 1 << 21: stat.S_IFCHR,
    1 << 25: stat.S_IFIFO,
    1 << 24: stat.S_IFSOCK,
    0: stat.S_IFREG,
}
_BITS = {1 << 23: stat.S_ISUID, 1 << 22: stat.S_ISGID, 1 << 20: stat.S_ISVTX}
_TYPE = 1 << 31 | 1 << 27 | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19
_FROM_KINDS = {kind: bits for bits, kind in _KINDS.items()}


@lru_cache(maxsize=256)  # a context has a handful of them
def from_go(mode: int) -> int:
    """The mode of stat(2); InvalidArgument for a kind that no file here has."""
    kind = _KINDS.get(mode & _TYPE)
    if kind is None:
        raise InvalidArgument(f"file mode {mode:#x} is of no known kind")
    return kind | mode & 0o777 | sum(bit for go, bit in _BITS.items() if mode & go)


def to_go(mode: int) -> int:
    """Go's mode for one of stat(2)."""
    return _FROM_KINDS[stat.S_IFMT(mode)] | mode & 0o777 | sum(go for go, bit in _BITS.items() if mode & bit)
