"""Every route of the API."""

from __future__ import annotations

from . import containers, images, streams, swarm, system
from .router import Route

ROUTES: list[Route] = [*system.ROUTES, *containers.ROUTES, *streams.ROUTES, *images.ROUTES, *swarm.ROUTES]
