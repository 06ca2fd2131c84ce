"""Every route of the API."""

from __future__ import annotations

from . import (
    beyond,
    build,
    check,
    containers,
    files,
    images,
    metrics,
    networks,
    plugins,
    registry,
    secrets,
    streams,
    swarm,
    system,
    usage,
    volumes,
)
from .router import Route

ROUTES: list[Route] = [
    *beyond.ROUTES,
    *system.ROUTES,
    *containers.ROUTES,
    *streams.ROUTES,
    *files.ROUTES,
    *registry.ROUTES,
    *images.ROUTES,
    *networks.ROUTES,
    *volumes.ROUTES,
    *plugins.ROUTES,
    *build.ROUTES,
    *secrets.ROUTES,
    *usage.ROUTES,
    *check.ROUTES,
    *metrics.ROUTES,
    *swarm.ROUTES,
]
