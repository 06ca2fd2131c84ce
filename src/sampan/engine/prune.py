"""`docker container prune`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import Conflict, InvalidArgument, NotFound
from ..image.listing import parse_time
from ..model.times import nanoseconds
from . import listing, remove
from .container import Container
from .engine import Engine

FILTERS = frozenset(("label", "label!", "until"))
STOPPED = frozenset(("created", "exited", "dead"))


@dataclass(frozen=True)
class Pruned:
    """Ids of what was removed, and the octets that it held."""

    removed: list[str]
    freed: int


async def containers(engine: Engine, filters: Mapping[str, list[str]]) -> Pruned:
    """Remove every stopped container that the filters select; InvalidArgument in Docker's words."""
    for name in filters:
        if name not in FILTERS:
            raise InvalidArgument(f"invalid filter '{name}'")
    until = _until(filters.get("until", []))
    removed, freed = [], 0
    for container in engine.containers:
        if container.state.status not in STOPPED or not _selected(container, filters, until):
            continue
        held = listing.size(engine, container).rw
        try:
            await remove.remove(engine, container.id)
        except (NotFound, Conflict):  # removed or started meanwhile
            continue
        removed.append(container.id)
        freed += held
    engine.events.publish("container", "prune", "", {"reclaimed": str(freed)})
    return Pruned(removed, freed)


def _until(values: list[str]) -> float:
    if len(values) > 1:
        raise InvalidArgument("more than one until filter specified")
    return parse_time(values[0]) if values else time.time()


def _selected(container: Container, filters: Mapping[str, list[str]], until: float) -> bool:
    labels = container.config.labels or {}
    return (
        nanoseconds(container.created) / 1e9 <= until
        and all(_has(labels, wanted) for wanted in filters.get("label", ()))
        and not any(_has(labels, unwanted) for unwanted in filters.get("label!", ()))
    )


def _has(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
