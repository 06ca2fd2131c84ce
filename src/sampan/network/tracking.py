"""Tracked connections that must not go on: the kernel remembers them longer than what they were made between."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable

from ..linux.conntrack import Conntrack, Entry
from .ipam import IPAddress

log = logging.getLogger("sampan.network")


def forget_datagrams(ports: set[int]) -> asyncio.Future[None]:
    """UDP exchanges with these host ports: datagrams have no end, clients would stick to what was there before."""
    return _forget(lambda entry: entry.protocol == socket.IPPROTO_UDP and entry.port in ports)


def forget_addresses(addresses: Iterable[IPAddress]) -> asyncio.Future[None]:
    """Connections from and to these addresses: what is established may pass, and a container keeps its sockets."""
    gone = set(addresses)
    return _forget(lambda entry: not gone.isdisjoint((entry.source, entry.destination, entry.answered_by)))


def _forget(wanted: Callable[[Entry], bool]) -> asyncio.Future[None]:
    tracked = Conntrack()  # in the namespace of this thread; listing takes its time, so that another does it
    return asyncio.get_running_loop().run_in_executor(None, _delete, tracked, wanted)


def _delete(tracked: Conntrack, wanted: Callable[[Entry], bool]) -> None:
    try:
        tracked.delete(wanted)
    except OSError as error:
        log.warning("tracked connections cannot be forgotten: %s", error)
    finally:
        tracked.close()
