"""What is written within one turn of the event loop, sent in one piece.

grpclib writes each frame by itself, three for an answer to a call; each that travels alone is a system call and wakes
the client, who answers a frame of data with a PING to measure the connection.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

_MOST: Final = 64 << 10
"""Octets that wait for the turn's end; beyond, the transport below says when there are too many."""


class Gathering(asyncio.Transport):
    """As much of a transport as grpclib uses, before another one."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        super().__init__()
        self._transport = transport
        self._waiting = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._send)
        self._waiting += data
        if len(self._waiting) >= _MOST:
            self._send()

    def _send(self) -> None:
        if self._waiting and not self._transport.is_closing():
            self._transport.write(bytes(self._waiting))
        self._waiting.clear()

    def close(self) -> None:
        self._send()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)
