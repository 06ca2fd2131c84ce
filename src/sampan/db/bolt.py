"""Reads bbolt files, the key-value store that dockerd keeps networks and volumes in; it never writes.

Format (bbolt's page.go, bucket.go; little endian on every machine that dockerd runs on): pages of one size; a page is
`id u64, flags u16, count u16, overflow u32`, then elements. The meta pages 0 and 1 name the root bucket; the one with
the higher transaction is current. A bucket is a tree of branch and leaf pages; a small one lies inline in its parent.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from msgspec import Struct

from ..errors import DataLoss

_PAGE = struct.Struct("<QHHI")
_META = struct.Struct("<IIIIQQQQQ")
"""magic, version, page size, flags, root page, root sequence, free list, next page, transaction."""
_BRANCH_ELEMENT = struct.Struct("<IIQ")
_LEAF_ELEMENT = struct.Struct("<IIII")
_BUCKET = struct.Struct("<QQ")
_MAGIC = 0xED0CDAED
_BRANCH, _LEAF, _META_FLAG = 0x01, 0x02, 0x04
_IS_BUCKET = 0x01
_MOST_PAGES = 100_000
_PAGE_SIZES = (4096, 8192, 16384, 65536)


class Bolt:
    """One file, wholly in memory (dockerd's are small)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        metas = [meta for size in (0, *_PAGE_SIZES) if (meta := self._meta(size)) is not None]
        if not metas:
            raise DataLoss("no bolt database: no valid meta page")
        newest = max(metas, key=lambda meta: meta.transaction)
        self._page_size, self._root = newest.page_size, newest.root

    def _meta(self, offset: int) -> _Meta | None:
        body = self._data[offset + _PAGE.size : offset + _PAGE.size + _META.size]
        if len(body) < _META.size:
            return None
        magic, version, page_size, _, root, _, _, _, transaction = _META.unpack(body)
        flags = _PAGE.unpack_from(self._data, offset)[1]
        if magic != _MAGIC or version != 2 or not flags & _META_FLAG or page_size not in _PAGE_SIZES:
            return None
        return _Meta(page_size, root, transaction) if offset in (0, page_size) else None

    def bucket(self, name: bytes) -> dict[bytes, bytes]:
        """All pairs of a top-level bucket; empty when there is none. DataLoss for what is damaged."""
        try:
            for key, value, is_bucket in self._walk(self._page(self._root)):
                if is_bucket and key == name:
                    return {key: value for key, value, nested in self._walk(self._inside(value)) if not nested}
        except struct.error as error:
            raise DataLoss(f"damaged bolt database: {error}") from error
        return {}

    def _page(self, number: int) -> memoryview:
        page = memoryview(self._data)[number * self._page_size :]
        overflow = _PAGE.unpack_from(page)[3]
        return page[: (overflow + 1) * self._page_size]

    def _inside(self, value: bytes) -> memoryview:
        root, _ = _BUCKET.unpack_from(value)
        return self._page(root) if root else memoryview(value)[_BUCKET.size :]

    def _walk(self, page: memoryview, seen: set[int] | None = None) -> Iterator[tuple[bytes, bytes, bool]]:
        seen = set() if seen is None else seen
        _, flags, count, _ = _PAGE.unpack_from(page)
        if not flags & (_BRANCH | _LEAF):
            raise DataLoss("damaged bolt database: not a tree")
        for index in range(count):
            at = _PAGE.size + index * 16
            if flags & _BRANCH:
                _, _, child = _BRANCH_ELEMENT.unpack_from(page, at)
                if child in seen or len(seen) > _MOST_PAGES:
                    raise DataLoss("damaged bolt database: not a tree")
                seen.add(child)
                yield from self._walk(self._page(child), seen)
                continue
            kind, position, key_size, value_size = _LEAF_ELEMENT.unpack_from(page, at)
            start = at + position
            middle = start + key_size
            yield bytes(page[start:middle]), bytes(page[middle : middle + value_size]), bool(kind & _IS_BUCKET)


class _Meta(Struct, frozen=True):
    page_size: int
    root: int
    transaction: int
