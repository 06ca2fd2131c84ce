"""`docker container prune`."""

from __future__ import annotations

from msgspec import Struct

from ..errors import Conflict, NotFound
from ..model.filters import Filters, check, labelled, moment
from ..model.times import nanoseconds
from . import listing, remove
from .engine import Engine

FILTERS = frozenset(("label", "label!", "until"))
STOPPED = frozenset(("created", "exited", "dead"))


class Pruned(Struct, frozen=True):
    """Ids of what was removed, and the octets that it held."""

    removed: list[str]
    freed: int


async def containers(engine: Engine, filters: Filters) -> Pruned:
    """Remove every stopped container that the filters select; InvalidArgument in Docker's words."""
    check(filters, FILTERS)
    until = moment(filters, "until")
    removed, freed = [], 0
    for container in engine.containers:
        if container.state.status not in STOPPED or not labelled(container.config.labels, filters):
            continue
        if until is not None and nanoseconds(container.created) / 1e9 > until:
            continue
        held = (await listing.size(engine, container)).rw
        try:
            await remove.remove(engine, container.id)
        except (NotFound, Conflict):  # removed or started meanwhile
            continue
        removed.append(container.id)
        freed += held
    engine.events.publish("container", "prune", "", {"reclaimed": str(freed)})
    return Pruned(removed, freed)
