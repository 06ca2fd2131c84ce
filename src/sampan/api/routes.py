"""Every route of the API."""

from __future__ import annotations

from . import swarm, system
from .router import Route

ROUTES: list[Route] = [*system.ROUTES, *swarm.ROUTES]
