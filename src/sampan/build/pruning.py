"""Which records of the build cache go: `docker builder prune`."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import InvalidArgument
from ..model.filters import parse_moment
from .builder import Builder
from .cache import Record

FILTERS = frozenset({"until", "unused-for", "id", "parent", "type", "description", "inuse", "shared", "private"})


@dataclass(frozen=True)
class Usage:
    """A record as `builder du` shows it. `shared`: an image stands on its layer too."""

    record: Record
    shared: bool


def usage(builder: Builder, filters: Mapping[str, Sequence[str]]) -> list[Usage]:
    """All records that match, latest use first."""
    _check(filters)
    held = _held(builder)
    return [
        Usage(record, bool(record.layers) and record.layers[-1].chain_id in held)
        for record in builder.records()
        if _matches(record, filters)
    ]


def _check(filters: Mapping[str, Sequence[str]]) -> None:
    unknown = set(filters) - FILTERS
    if unknown:
        raise InvalidArgument(f"invalid filter '{min(unknown)}'")


def _held(builder: Builder) -> set[str]:
    """Layers that images have."""
    return {row["chain_id"] for row in builder.engine.db.query("SELECT DISTINCT chain_id FROM image_layer")}


@dataclass(frozen=True)
class Pruned:
    """Keys of the records that went, and the bytes freed."""

    keys: list[str]
    freed: int


def prune(builder: Builder, filters: Mapping[str, Sequence[str]], *, everything: bool, keep: int = 0) -> Pruned:
    """Drop records, least recently used first, until no more than `keep` bytes are left.

    Without `everything` only records whose layers no image has are dropped.
    """
    _check(filters)
    chosen = [record for record in reversed(builder.records()) if _matches(record, filters)]
    if not everything:
        held = _held(builder)
        chosen = [record for record in chosen if not (record.layers and record.layers[-1].chain_id in held)]
    total = sum(record.size for record in chosen)
    keys: list[str] = []
    for record in chosen:
        if keep and total <= keep:
            break
        keys.append(record.key)
        total -= record.size
    return Pruned(keys, builder.prune(keys))


def _matches(record: Record, filters: Mapping[str, Sequence[str]]) -> bool:
    for name in ("until", "unused-for"):
        for text in filters.get(name, ()):
            if record.used > _before(text):
                return False
    if filters.get("type") and record.kind not in filters["type"]:
        return False
    return _any(filters.get("id", ()), record.key) and _any(filters.get("description", ()), record.description)


def _any(patterns: Sequence[str], text: str) -> bool:
    try:
        return not patterns or any(re.search(pattern, text) for pattern in patterns)
    except re.error as error:
        raise InvalidArgument(f"invalid filter: {error}") from None


def _before(text: str) -> float:
    return parse_moment(text) if text else time.time()
