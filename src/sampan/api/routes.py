"""Every route of the API."""

from __future__ import annotations

from . import containers, files, images, networks, plugins, streams, swarm, system, volumes
from .router import Route

ROUTES: list[Route] = [
    *system.ROUTES,
    *containers.ROUTES,
    *streams.ROUTES,
    *files.ROUTES,
    *images.ROUTES,
    *networks.ROUTES,
    *volumes.ROUTES,
    *plugins.ROUTES,
    *swarm.ROUTES,
]
