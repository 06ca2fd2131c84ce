"""What the engine knows of a container beyond its record: things that live and die with this process."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field

from ..errors import SampanError


@dataclass(frozen=True)
class WaitResult:
    """How a wait ended: the exit code, and the error where the container never started."""

    status: int
    error: str = ""


class WaitTicket:
    """A registered wait; `await result()` for its end, `close` to give up."""

    def __init__(self, condition: str) -> None:
        self.condition = condition
        self._future: asyncio.Future[WaitResult] = asyncio.get_running_loop().create_future()

    def resolve(self, result: WaitResult) -> None:
        """The condition came true."""
        if not self._future.done():
            self._future.set_result(result)

    def fail(self, error: SampanError) -> None:
        """The condition can no longer come true."""
        if not self._future.done():
            self._future.set_exception(error)

    async def result(self) -> WaitResult:
        """The status and error of the container's end."""
        return await asyncio.shield(self._future)

    def close(self) -> None:
        """Nobody waits any longer."""
        self._future.cancel()


@dataclass(frozen=True)
class PendingAttachment:
    """An attachment made before the start: handed to the shim between create and start."""

    socket: socket.socket
    stdin: bool
    stdout: bool
    stderr: bool


@dataclass
class Live:
    """One container's run-time side."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever changes the container's state; exits are handled under it too."""
    tickets: list[WaitTicket] = field(default_factory=list)
    pending: list[PendingAttachment] = field(default_factory=list)

    def ticket(self, condition: str) -> WaitTicket:
        """Register a wait."""
        ticket = WaitTicket(condition)
        self.tickets.append(ticket)
        return ticket

    def resolve(self, *conditions: str, result: WaitResult) -> None:
        """Wake the waits for these conditions."""
        due = [ticket for ticket in self.tickets if ticket.condition in conditions]
        self.tickets = [ticket for ticket in self.tickets if ticket.condition not in conditions]
        for ticket in due:
            ticket.resolve(result)
