"""Managed plugins: there are none, and this engine installs none."""

from __future__ import annotations

from ..errors import NotFound, NotImplementedHere
from .call import Call
from .router import Route


async def list_plugins(call: Call) -> None:
    call.query.filters()
    await call.json([])


async def missing(call: Call) -> None:
    raise NotFound(f'plugin "{call.path["name"]}" not found')


async def refuse(call: Call) -> None:
    raise NotImplementedHere("managed plugins are not supported: volume plugins are found through their sockets")


ROUTES: list[Route] = [
    ("GET", "/plugins", list_plugins),
    ("GET", "/plugins/privileges", refuse),
    ("POST", "/plugins/pull", refuse),
    ("POST", "/plugins/create", refuse),
    ("GET", "/plugins/{name:*}/json", missing),
    ("DELETE", "/plugins/{name:*}", missing),
    ("POST", "/plugins/{name:*}/enable", missing),
    ("POST", "/plugins/{name:*}/disable", missing),
    ("POST", "/plugins/{name:*}/upgrade", missing),
    ("POST", "/plugins/{name:*}/push", missing),
    ("POST", "/plugins/{name:*}/set", missing),
]
