"""Networks as rows: in memory, written through to the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from ..db import Database
from ..errors import InvalidArgument, NotFound
from .ipam import Pools
from .options import BridgeOptions, bridge_options
from .spec import IPAMPool, Network


@dataclass
class Stored:
    """A network with what is in effect: its pools (gateways chosen), and whether its link is ours to delete."""

    network: Network
    effective: list[IPAMPool]
    made_link: bool = False
    pool_ids: dict[str, str] = field(default_factory=dict)
    """A remote address manager's names of the pools, by subnet."""

    def __post_init__(self) -> None:
        self.pools = Pools(self.effective, f"{self.network.name} ({self.network.id})")
        self.options: BridgeOptions = bridge_options(self.network.options)

    @property
    def is_default(self) -> bool:
        return self.network.name == "bridge"

    @property
    def link(self) -> str:
        """Name of the bridge."""
        return self.options.name or f"br-{self.network.id[:12]}"


_network = msgspec.json.Decoder(Network)
_ids = msgspec.json.Decoder(dict[str, str])
_pools = msgspec.json.Decoder(list[IPAMPool])


class Store:
    """All networks of one engine."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._by_id: dict[str, Stored] = {}
        self.unreadable: list[str] = []
        for row in db.query("SELECT * FROM network ORDER BY id"):
            try:
                stored = Stored(_network.decode(row["record"]), _pools.decode(row["pools"]),
                    bool(row["made_link"]), _ids.decode(row["pool_ids"]))  # fmt: skip
            except (msgspec.DecodeError, ValueError, InvalidArgument):
                self.unreadable.append(row["id"])
                continue
            self._by_id[stored.network.id] = stored

    def __iter__(self) -> Iterator[Stored]:
        return iter(list(self._by_id.values()))

    def named(self, name: str) -> Stored | None:
        """The network of exactly that name."""
        return next((stored for stored in self._by_id.values() if stored.network.name == name), None)

    def get(self, ref: str) -> Stored:
        """By id, name or unique id prefix; NotFound with Docker's text."""
        found = self._by_id.get(ref) or self.named(ref)
        if found is not None:
            return found
        matches = [stored for key, stored in self._by_id.items() if key.startswith(ref)] if ref else []
        if len(matches) > 1:
            raise InvalidArgument(f"network {ref} is ambiguous ({len(matches)} matches found based on ID prefix)")
        if not matches:
            raise NotFound(f"network {ref} not found")
        return matches[0]

    def save(self, stored: Stored) -> None:
        """Write a new or changed network."""
        network = stored.network
        self._db.execute(
            "INSERT OR REPLACE INTO network (id, name, record, pools, made_link, pool_ids) VALUES (?, ?, ?, ?, ?, ?)",
            (
                network.id,
                network.name,
                msgspec.json.encode(network),
                msgspec.json.encode(stored.effective),
                int(stored.made_link),
                msgspec.json.encode(stored.pool_ids),
            ),
        )
        self._by_id[network.id] = stored

    def forget(self, stored: Stored) -> None:
        """Delete the row."""
        self._db.execute("DELETE FROM network WHERE id = ?", (stored.network.id,))
        self._by_id.pop(stored.network.id, None)
