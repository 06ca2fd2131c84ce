"""Networks as rows: in memory, written through to the database and to a file from which a lost one is filled (S31)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import msgspec
from msgspec import Struct, field

from ..db import Database
from ..errors import InvalidArgument, NotFound
from .ipam import Pools
from .options import BridgeOptions, bridge_options
from .spec import IPAMPool, Network


class Stored(Struct, dict=True):
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


log = logging.getLogger("sampan.network")
_Row = tuple[Network, list[IPAMPool], bool, dict[str, str]]
"""As `Stored`, in the copy."""
_network = msgspec.json.Decoder(Network)
_ids = msgspec.json.Decoder(dict[str, str])
_pools = msgspec.json.Decoder(list[IPAMPool])


class Store:
    """All networks of one engine; `copy` is a file for a copy of them, none where it is empty."""

    def __init__(self, db: Database, copy: str = "") -> None:
        self._db = db
        self._copy, self._copied = copy, b""
        self._by_id: dict[str, Stored] = {}
        self.rebuilt: list[str] = []
        """Names of networks that a lost database has again."""
        self.unreadable: list[str] = []
        for row in db.query("SELECT * FROM network ORDER BY id"):
            try:
                stored = Stored(_network.decode(row["record"]), _pools.decode(row["pools"]),
                    bool(row["made_link"]), _ids.decode(row["pool_ids"]))  # fmt: skip
            except (msgspec.DecodeError, ValueError, InvalidArgument):
                self.unreadable.append(row["id"])
                continue
            self._by_id[stored.network.id] = stored
        if db.is_new and copy:
            self._rebuild()

    def _rebuild(self) -> None:
        try:
            with open(self._copy, "rb") as file:
                rows = msgspec.json.decode(file.read(), type=list[_Row])
        except (OSError, msgspec.DecodeError):
            return  # the first start, or a torn copy: nothing to rebuild from
        for row in rows:
            self.save(Stored(*row))
        self.rebuilt = [network.name for network, *_ in rows]

    def _keep(self) -> None:
        """Write the copy where something changed; not durable by itself, the database is."""
        rows = [
            (stored.network, stored.effective, stored.made_link, stored.pool_ids) for stored in self._by_id.values()
        ]
        content = msgspec.json.encode(rows)
        if not self._copy or content == self._copied:
            return
        try:
            with open(f"{self._copy}.tmp", "wb") as file:
                file.write(content)
            os.rename(f"{self._copy}.tmp", self._copy)
        except OSError as error:  # a full disk: no reason for the change to fail, the database has it
            log.warning("cannot write the copy of the networks: %s", error)
            return
        self._copied = content

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
        self._keep()

    def forget(self, stored: Stored) -> None:
        """Delete the row."""
        self._db.execute("DELETE FROM network WHERE id = ?", (stored.network.id,))
        self._by_id.pop(stored.network.id, None)
        self._keep()
