"""Building images. The cache is empty and there is no builder yet."""

from __future__ import annotations

from ..errors import NotImplementedHere
from .call import Call
from .router import Route


async def build(call: Call) -> None:
    raise NotImplementedHere("building images is not supported yet")


async def prune(call: Call) -> None:
    call.query.filters()
    await call.json({"CachesDeleted": None, "SpaceReclaimed": 0})


ROUTES: list[Route] = [("POST", "/build", build), ("POST", "/build/prune", prune)]
