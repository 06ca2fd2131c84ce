"""Tracked connections that must not go on: the kernel remembers them longer than what they were made between."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable

from ..linux.conntrack import FAMILIES, Conntrack, Entry
from ..linux.nfnetlink import NFPROTO_IPV4, NFPROTO_IPV6
from .ipam import IPAddress

log = logging.getLogger("sampan.network")


def forget_datagrams(ports: set[int]) -> asyncio.Future[None]:
    """UDP exchanges with these host ports: datagrams have no end, clients would stick to what was there before."""
    return _forget(lambda entry: entry.protocol == socket.IPPROTO_UDP and entry.port in ports)


def forget_addresses(addresses: Iterable[IPAddress]) -> asyncio.Future[None]:
    """Connections from and to these addresses: what is established may pass, and a container keeps its sockets."""
    gone = set(addresses)
    families = {NFPROTO_IPV4 if address.version == 4 else NFPROTO_IPV6 for address in gone}
    return _forget(lambda one: not gone.isdisjoint((one.source, one.destination, one.answered_by)), families)


def _forget(wanted: Callable[[Entry], bool], families: Iterable[int] = FAMILIES) -> asyncio.Future[None]:
    tracked = Conntrack()  # in the namespace of this thread; listing takes 10 ms and more, so that another does it
    return asyncio.get_running_loop().run_in_executor(None, _delete, tracked, wanted, families)


def _delete(tracked: Conntrack, wanted: Callable[[Entry], bool], families: Iterable[int]) -> None:
    try:
        tracked.delete(wanted, families)
    except OSError as error:
        log.warning("tracked connections cannot be forgotten: %s", error)
    finally:
        tracked.close()
