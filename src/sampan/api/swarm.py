"""Swarm, services and the like: this engine answers as a Docker that is no swarm manager."""

from __future__ import annotations

from ..errors import NotImplementedHere, Unavailable
from .call import Call
from .router import Route

NOT_A_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)


async def no_manager(call: Call) -> None:
    raise Unavailable(NOT_A_MANAGER)


async def no_member(call: Call) -> None:
    raise Unavailable("This node is not part of a swarm")


async def no_swarm(call: Call) -> None:
    raise NotImplementedHere("swarm mode is not offered by Sampan, which is an engine for one machine")


_PATHS = """
GET /swarm
POST /swarm/update
GET /swarm/unlockkey
GET /nodes
GET /nodes/{id}
DELETE /nodes/{id}
POST /nodes/{id}/update
GET /services
POST /services/create
GET /services/{id}
DELETE /services/{id}
POST /services/{id}/update
GET /services/{id}/logs
GET /tasks
GET /tasks/{id}
GET /tasks/{id}/logs
POST /secrets/{id}/update
GET /configs
POST /configs/create
GET /configs/{id}
DELETE /configs/{id}
POST /configs/{id}/update
"""


def _routes() -> list[Route]:
    rows = [row.split() for row in _PATHS.split("\n") if row]
    return [(method, path, no_manager) for method, path in rows]


ROUTES: list[Route] = [
    *_routes(),
    ("POST", "/swarm/init", no_swarm),
    ("POST", "/swarm/join", no_swarm),
    ("POST", "/swarm/leave", no_member),
    ("POST", "/swarm/unlock", no_manager),
]
