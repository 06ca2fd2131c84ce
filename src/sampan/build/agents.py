"""An ssh agent of the client's machine, seen by steps of a build as a socket here.

    step ── connect ──▶ listening socket ── accept ──▶ pumped to a connection that the client has offered

The client offers one connection at a time and the next one as soon as one is taken (cli/build_agents.py).
"""

from __future__ import annotations

import asyncio
import os
import socket


class AgentSocket:
    """A listening socket that steps may have mounted; `close` ends it."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(16)
        self._listener.setblocking(False)
        self._waiting: set[asyncio.Task[object]] = set()

    async def accept(self) -> socket.socket:
        """The next connection of a step's; cancelled by `close`."""
        task: asyncio.Task[tuple[socket.socket, object]] = asyncio.ensure_future(
            asyncio.get_running_loop().sock_accept(self._listener)
        )
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        found, _ = await task
        found.setblocking(False)
        return found

    async def close(self) -> None:
        """Accept no more, and remove the socket."""
        for task in list(self._waiting):
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        self._listener.close()
        os.unlink(self.path)
        os.rmdir(os.path.dirname(self.path))
