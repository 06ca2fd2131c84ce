"""Mends the firewall when another program changes it: `nft flush ruleset`, a reloaded /etc/nftables.conf, ufw."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from ..linux.netlink import attributes
from ..linux.nfnetlink import NFNL_SUBSYS_NFTABLES, NFNLGRP_NFTABLES, NetfilterSocket
from ..linux.nft import NFT_MSG_NEWGEN, NFTA_GEN_PROC_PID
from .firewall import Firewall

SETTLE_SECONDS = 0.1
"""A reload is often several transactions; one check after the last of them is enough."""


class Watch:
    """Listens to nftables' transactions until `close`."""

    def __init__(self, firewall: Firewall, mended: Callable[[], None], failed: Callable[[OSError], None]) -> None:
        self._firewall = firewall
        self._mended = mended
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._socket = NetfilterSocket((NFNLGRP_NFTABLES,))
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._socket, self._heard)

    def close(self) -> None:
        """Stop listening."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        if self._timer is not None:
            self._timer.cancel()

    def _heard(self) -> None:
        try:
            foreign = any(_is_foreign(kind, payload) for kind, _, payload in list(self._socket.receive()))
        except OSError:
            foreign = True  # ENOBUFS: messages were lost
        if foreign:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(SETTLE_SECONDS, self._check)

    def _check(self) -> None:
        self._timer = None
        try:
            if not self._firewall.intact():
                self._firewall.load()
                self._mended()
            self._firewall.admit()
        except OSError as error:
            self._failed(error)


def _is_foreign(kind: int, payload: bytes) -> bool:
    if kind != NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN:
        return False
    writer = attributes(payload, 4).get(NFTA_GEN_PROC_PID, b"")
    return int.from_bytes(writer, "big") != os.getpid()
