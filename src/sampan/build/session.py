"""One build's surroundings: what the executors need beside the graph."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..model.container import HostConfig
from .progress import BuildEvent, Listener

if TYPE_CHECKING:
    from ..engine.engine import Engine

ENTITLEMENTS = frozenset({"network.host"})
"""Granted unless the daemon's configuration says otherwise; `security.insecure` is not among them."""


@dataclass
class Session:
    """`contexts`: directories by the name of a LocalSource. `secrets`: bytes by id. `ssh`: agent sockets by id.

    `limits` carries memory, cpu, shm-size, ulimits, extra hosts of the request; `entitlements` are checked by the
    executors themselves (S21). `epoch` is SOURCE_DATE_EPOCH in seconds, or None.
    """

    engine: Engine
    listener: Listener
    contexts: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    ssh: Mapping[str, str] = field(default_factory=dict)
    limits: HostConfig = field(default_factory=HostConfig)
    entitlements: frozenset[str] = ENTITLEMENTS
    epoch: int | None = None
    explain: bool = False

    def tell(self, event: BuildEvent) -> None:
        """Pass an event on."""
        self.listener(event)


class Locks:
    """Locks by name, forgotten when nobody waits."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def get(self, name: str) -> asyncio.Lock:
        """The lock of that name."""
        lock, _ = self._locks.setdefault(name, (asyncio.Lock(), 0))
        return lock


def processors() -> int:
    """How many steps run at once."""
    return max(2, os.cpu_count() or 2)


Factory = Callable[[], Session]
