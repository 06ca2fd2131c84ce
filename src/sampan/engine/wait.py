"""`docker wait`: registered at once, so that a start which follows cannot outrun it."""

from __future__ import annotations

from ..errors import InvalidArgument
from .engine import Engine
from .live import WaitResult, WaitTicket

CONDITIONS = ("", "not-running", "next-exit", "removed")


def wait(engine: Engine, ref: str, condition: str = "") -> WaitTicket:
    """A ticket for the end that `condition` names; empty means not-running. NotFound, InvalidArgument."""
    if condition not in CONDITIONS:
        raise InvalidArgument(f'invalid condition: "{condition}"')
    container = engine.containers.get(ref)
    ticket = engine.live(container).ticket(condition or "not-running")
    if ticket.condition == "not-running" and not (container.running or container.restarting):
        ticket.resolve(WaitResult(container.state.exit_code, container.state.error))
    return ticket
