"""The build cache: from a key that covers every input of a step to its result.

A record is found by its key by definition too (definitions.py).
A record pins its layers (`layer_pin`), so that removing an image leaves what the cache stands on. A pulled image is
never implicitly a cache: only steps that ran here, or records imported by name, are found (S23).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from ..db import Database, Row
from ..image.layers import Layer
from ..oci.manifest import Descriptor
from .result import Result


@dataclass(frozen=True)
class Record:
    """One cached step, as `builder du` shows it; times in seconds since the epoch."""

    key: str
    place: str
    description: str
    size: int
    created: float
    used: float
    uses: int
    layers: tuple[Layer, ...]
    kind: str = "regular"
    """BuildKit's word for what it is."""


class _StoredLayer(msgspec.Struct, array_like=True):
    media_type: str
    digest: str
    compressed: int
    diff_id: str
    chain_id: str
    size: int


_decode_layers = msgspec.json.Decoder(list[_StoredLayer]).decode
_decode_parts = msgspec.json.Decoder(dict[str, str]).decode


class BuildCache:
    """Records by key. `is_whole` says whether a layer's blob and snapshot are still there."""

    def __init__(self, db: Database, is_whole: Callable[[Layer], bool]) -> None:
        self._db = db
        self._is_whole = is_whole

    def get(self, key: str) -> Result | None:
        """The result of an earlier run; a record whose layers are damaged is dropped."""
        row = self._db.one("SELECT * FROM build_cache WHERE key = ?", (key,))
        if row is None:
            return None
        layers = _layers(row)
        if not all(map(self._is_whole, layers)):
            self.drop(key)
            return None
        with self._db.losable():
            self._db.execute("UPDATE build_cache SET used = ?, uses = uses + 1 WHERE key = ?", (time.time(), key))
        return Result(layers, made=(row["created"],))

    def put(self, key: str, place: str, description: str, parts: Mapping[str, str], result: Result) -> float:
        """Keep a result; returns when it was made, which is now unless the result says otherwise."""
        stored = [
            _StoredLayer(one.descriptor.media_type, one.descriptor.digest, one.descriptor.size, one.diff_id,
                         one.chain_id, one.size)
            for one in result.layers
        ]  # fmt: skip
        size, now = (result.layers[-1].size if result.layers else 0), time.time()
        made = result.made[0] if result.made else now
        pins = [(key, one.chain_id, one.descriptor.digest) for one in result.layers]
        with self._db.losable():
            self._db.execute(
                "INSERT OR REPLACE INTO build_cache VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (key, place, description, msgspec.json.encode(parts), msgspec.json.encode(stored), size, made, now),
            )
            self._db.execute_many("INSERT OR IGNORE INTO layer_pin VALUES (?, ?, ?)", pins)
        return made

    def link(self, definition: str, key: str) -> None:
        """Let a record be found by its key by definition as well."""
        if self.linked(definition) != key:
            with self._db.losable():
                self._db.execute("INSERT OR REPLACE INTO build_link VALUES (?, ?)", (definition, key))

    def linked(self, definition: str) -> str:
        """The key that a key by definition stands for; empty where there is none."""
        row = self._db.one("SELECT key FROM build_link WHERE definition = ?", (definition,))
        return str(row["key"]) if row is not None else ""

    def made(self, definition: str) -> float | None:
        """When the result of a key by definition came about."""
        sql = "SELECT created FROM build_link JOIN build_cache USING (key) WHERE definition = ?"
        row = self._db.one(sql, (definition,))
        return float(row["created"]) if row is not None else None

    def last_parts(self, place: str) -> dict[str, str] | None:
        """The inputs that the step at this place had when it last ran, to explain a miss."""
        row = self._db.one("SELECT parts FROM build_cache WHERE place = ? ORDER BY used DESC LIMIT 1", (place,))
        return _decode_parts(row["parts"]) if row is not None else None

    def records(self) -> list[Record]:
        """All records, latest use first."""
        rows = self._db.query("SELECT * FROM build_cache ORDER BY used DESC")
        return [
            Record(row["key"], row["place"], row["description"], row["size"], row["created"], row["used"],
                   row["uses"], _layers(row))
            for row in rows
        ]  # fmt: skip

    def drop(self, key: str) -> None:
        """Forget a record and unpin its layers."""
        with self._db.transaction():
            self._db.execute("DELETE FROM layer_pin WHERE owner = ?", (key,))
            self._db.execute("DELETE FROM build_link WHERE key = ?", (key,))
            self._db.execute("DELETE FROM build_cache WHERE key = ?", (key,))


def _layers(row: Row) -> tuple[Layer, ...]:
    return _as_layers(_decode_layers(row["layers"]))


def _as_layers(stored: Sequence[_StoredLayer]) -> tuple[Layer, ...]:
    return tuple(
        Layer(Descriptor(one.media_type, one.digest, one.compressed), one.diff_id, one.chain_id, one.size)
        for one in stored
    )
