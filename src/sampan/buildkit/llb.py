"""Graphs of the client's own."""

from __future__ import annotations

from ..errors import NotImplementedHere
from .proto.ops_pb2 import Definition
from .solves import Outcome, Solve


async def graph_outcome(solve: Solve, definition: Definition) -> Outcome:
    """What a client's own graph stands for."""
    raise NotImplementedHere("graphs of clients are not supported yet")
