"""What the engine knows of a container beyond its record: things that live and die with this process."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from msgspec import Struct, field

from ..errors import Conflict
from ..runtime import Shim

if TYPE_CHECKING:
    from .exec import Exec


class WaitResult(Struct, frozen=True):
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

    async def result(self, timeout: float | None = None) -> WaitResult:
        """The status and error of the container's end; TimeoutError when that takes more than `timeout` seconds."""
        return await asyncio.wait_for(asyncio.shield(self._future), timeout)

    def close(self) -> None:
        """Nobody waits any longer."""
        self._future.cancel()

    @property
    def closed(self) -> bool:
        """Resolved or given up."""
        return self._future.done()


class PendingAttachment(Struct, frozen=True, eq=False):
    """An attachment made before the start: handed to the shim between create and start."""

    socket: socket.socket
    stdin: bool
    stdout: bool
    stderr: bool


class Live(Struct):
    """One container's run-time side."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever changes the container's state; exits are handled under it too."""
    shim: Shim | None = None
    tickets: list[WaitTicket] = field(default_factory=list)
    pending: list[PendingAttachment] = field(default_factory=list)
    execs: dict[str, Exec] = field(default_factory=dict)
    exec_waiters: dict[str, list[asyncio.Future[int]]] = field(default_factory=dict)
    restart: asyncio.Task[None] | None = None
    """Waits out the back-off of a restart policy."""
    delay: float = 0.0
    """The back-off before the latest restart, in seconds."""
    health: asyncio.Task[None] | None = None
    removing: bool = False
    keep: bool = False
    """Stopped only to be started again: auto-remove waits."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the present run is over; a start makes a new one."""
    rootfs: str = ""
    """The mounted root file system on the host, while running."""

    def the_shim(self, container_id: str) -> Shim:
        """The running container's shim; Conflict in Docker's words where there is none."""
        if self.shim is None or self.shim.gone:
            raise Conflict(f"container {container_id} is not running")
        return self.shim

    def ticket(self, condition: str) -> WaitTicket:
        """Register a wait."""
        self.tickets = [ticket for ticket in self.tickets if not ticket.closed]
        ticket = WaitTicket(condition)
        self.tickets.append(ticket)
        return ticket

    def resolve(self, *conditions: str, result: WaitResult) -> None:
        """Wake the waits for these conditions."""
        due = [ticket for ticket in self.tickets if ticket.condition in conditions]
        self.tickets = [ticket for ticket in self.tickets if ticket.condition not in conditions]
        for ticket in due:
            ticket.resolve(result)

    def cancel_restart(self) -> None:
        """The restart that is waiting will not happen; called from elsewhere than that task."""
        if self.restart is not None and self.restart is not asyncio.current_task():
            self.restart.cancel()
        self.restart = None

    def cancel_health(self) -> None:
        """No further probes."""
        if self.health is not None and self.health is not asyncio.current_task():
            self.health.cancel()
        self.health = None

    def forget_pending(self, attachment: PendingAttachment) -> None:
        """Its client went away before the start."""
        if attachment in self.pending:
            self.pending.remove(attachment)
            attachment.socket.close()

    def drop_pending(self) -> None:
        """Close attachments that no start will come to."""
        for attachment in self.pending:
            attachment.socket.close()
        self.pending.clear()
