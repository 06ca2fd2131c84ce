"""`docker ps`: which containers a filter selects, in which order, and how their state reads."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from ..errors import InvalidArgument, NotFound
from ..model import filters as filters_
from ..model.filters import Filters, has_label
from ..model.quantity import human_duration, parse_int
from ..model.times import nanoseconds
from .container import Container
from .engine import Engine

FILTERS: Final = frozenset((
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name", "network",
    "publish", "since", "status", "volume",
))  # fmt: skip
STATES: Final = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
HEALTHS: Final = ("none", "starting", "healthy", "unhealthy")

Test = Callable[[Container], bool]


class Size(Struct, frozen=True):
    """Octets: what the container wrote, and its whole root file system."""

    rw: int
    root_fs: int


def list_containers(
    engine: Engine, filters: Filters, *, all_containers: bool = False, limit: int = 0
) -> list[Container]:
    """The selected containers, newest first; InvalidArgument and NotFound carry Docker's text.

    Without `all_containers` and `limit` only those whose process exists; `status` in the filters asks for all too.
    """
    check_filters(filters)
    tests = [make(engine, filters[name]) for name, make in _TESTS.items() if filters.get(name)]
    everything = all_containers or limit > 0 or bool(filters.get("status"))
    newest_first = sorted(engine.containers, key=lambda container: container.created, reverse=True)
    found = [
        container
        for container in newest_first
        if (everything or container.running or container.restarting) and all(test(container) for test in tests)
    ]
    return found[:limit] if limit > 0 else found


def check_filters(filters: Filters) -> None:
    """InvalidArgument for a filter or value that does not exist."""
    filters_.check(filters, FILTERS)
    for name, kind, choices in (("status", "state", STATES), ("health", "health", HEALTHS)):
        for value in filters.get(name, ()):
            if value not in choices:
                raise InvalidArgument(
                    f"invalid filter '{name}={value}': invalid value for {kind} ({value}): "
                    f"must be one of {', '.join(choices)}"
                )
    for value in filters.get("is-task", ()):
        if value not in ("true", "false", "1", "0"):
            raise InvalidArgument(f"invalid filter 'is-task={value}'")
    for value in filters.get("exited", ()):
        try:
            parse_int(value)
        except ValueError as error:
            raise InvalidArgument(f"invalid filter 'exited={value}': {error}") from None


async def size(engine: Engine, container: Container) -> Size:
    """Octets on disk; the container's layer is walked in a thread. None of a container that is removed meanwhile."""
    try:
        rw = (await asyncio.to_thread(engine.snapshots.usage, container.id)).bytes
    except (NotFound, FileNotFoundError):
        return Size(0, 0)
    try:
        return Size(rw, rw + engine.images.by_id(container.image_id).size)
    except NotFound:
        return Size(rw, rw)


# What each filter asks of a container. Values of one filter are alternatives, except labels, which must all hold.


def _patterns(values: Sequence[str]) -> list[re.Pattern[str]]:
    try:
        return [re.compile(value) for value in values]
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidArgument(f"invalid filter: {error}") from None


def _ids(engine: Engine, values: Sequence[str]) -> Test:
    patterns = _patterns(values)
    return lambda container: any(pattern.search(container.id) for pattern in patterns)


def _names(engine: Engine, values: Sequence[str]) -> Test:
    # A leading slash is part of the name as inspect shows it, and `^/name$` a common way to say «exactly».
    patterns = _patterns(values)

    def test(container: Container) -> bool:
        return any(pattern.search(container.name) or pattern.search("/" + container.name) for pattern in patterns) or (
            container.name in values
        )

    return test


def _labels(engine: Engine, values: Sequence[str]) -> Test:
    return lambda container: all(has_label(container.config.labels, value) for value in values)


def _status(engine: Engine, values: Sequence[str]) -> Test:
    return lambda container: container.state.status in values


def _health(engine: Engine, values: Sequence[str]) -> Test:
    def test(container: Container) -> bool:
        health = container.state.health
        return (health.status if health is not None else "none") in values

    return test


def _exited(engine: Engine, values: Sequence[str]) -> Test:
    codes = {int(value) for value in values}
    return lambda container: container.has_been_started and not container.running and container.state.exit_code in codes


def _before(engine: Engine, values: Sequence[str]) -> Test:
    moment = max(engine.containers.get(value).created for value in values)
    return lambda container: container.created < moment


def _since(engine: Engine, values: Sequence[str]) -> Test:
    moment = min(engine.containers.get(value).created for value in values)
    return lambda container: container.created > moment


def _ancestors(engine: Engine, values: Sequence[str]) -> Test:
    images: set[str] = set()
    for value in values:
        try:
            images |= _descendants(engine, engine.images.get(value).id)
        except (NotFound, InvalidArgument):
            continue  # Docker too takes an unknown ancestor for one without containers
    return lambda container: container.image_id in images


def _descendants(engine: Engine, image_id: str) -> set[str]:
    base = engine.images.by_id(image_id).chain_ids
    return {
        image.id
        for image in engine.images.all()
        if image.id == image_id or (base and image.chain_ids[: len(base)] == base)
    }


def _volumes(engine: Engine, values: Sequence[str]) -> Test:
    return lambda container: any(
        value in (mount.name, mount.destination) or (mount.type == "bind" and value == mount.source)
        for mount in container.mounts
        for value in values
    )


def _networks(engine: Engine, values: Sequence[str]) -> Test:
    def test(container: Container) -> bool:
        return any(
            value == name or (value and settings.network_id.startswith(value))
            for name, settings in container.networks.items()
            for value in values
        )

    return test


def _tasks(engine: Engine, values: Sequence[str]) -> Test:
    wanted = {value in ("true", "1") for value in values}
    return lambda container: ("com.docker.swarm.task.id" in (container.config.labels or {})) in wanted


def _isolation(engine: Engine, values: Sequence[str]) -> Test:
    return lambda container: (container.host_config.isolation or "default") in values


def _publish(engine: Engine, values: Sequence[str]) -> Test:
    wanted = _ports(values, "publish")

    def test(container: Container) -> bool:
        published = {
            f"{binding.host_port}/{port.partition('/')[2] or 'tcp'}"
            for port, bindings in container.ports.items()
            for binding in bindings or ()
        }
        return bool(published & wanted)

    return test


def _expose(engine: Engine, values: Sequence[str]) -> Test:
    wanted = _ports(values, "expose")

    def test(container: Container) -> bool:
        exposed = container.config.exposed_ports
        return bool(wanted & set(exposed if isinstance(exposed, dict) else ()))

    return test


def _ports(values: Sequence[str], name: str) -> set[str]:
    """`80`, `80/udp` and `80-90/tcp` as the set of their single ports."""
    ports: set[str] = set()
    for value in values:
        span, _, protocol = value.partition("/")
        first, _, last = span.partition("-")
        try:
            low, high = (parse_int(number, 0, 65535, "strconv.ParseUint") for number in (first, last or first))
        except ValueError as error:
            raise InvalidArgument(f"error while looking up for {name} {value}: {error}") from None
        ports |= {f"{port}/{protocol or 'tcp'}" for port in range(low, high + 1)}
    return ports


_TESTS: Final[dict[str, Callable[[Engine, Sequence[str]], Test]]] = {
    "id": _ids,
    "name": _names,
    "label": _labels,
    "status": _status,
    "health": _health,
    "exited": _exited,
    "before": _before,
    "since": _since,
    "ancestor": _ancestors,
    "volume": _volumes,
    "network": _networks,
    "is-task": _tasks,
    "isolation": _isolation,
    "publish": _publish,
    "expose": _expose,
}


def status_text(container: Container) -> str:
    """`Up 3 minutes (healthy)`, `Exited (1) 2 hours ago`, …: the STATUS column."""
    state = container.state
    if state.status == "running":
        health = {"healthy": " (healthy)", "unhealthy": " (unhealthy)", "starting": " (health: starting)"}
        shown = health.get(state.health.status, "") if state.health is not None else ""
        return f"Up {_since_text(state.started_at)}{shown}"
    if state.status == "paused":
        return f"Up {_since_text(state.started_at)} (Paused)"
    if state.status == "restarting":
        return f"Restarting ({state.exit_code}) {_since_text(state.finished_at)} ago"
    if state.status == "exited":
        return f"Exited ({state.exit_code}) {_since_text(state.finished_at)} ago"
    return {"created": "Created", "removing": "Removal In Progress", "dead": "Dead"}.get(state.status, state.status)


def _since_text(moment: str) -> str:
    return human_duration((time.time_ns() - nanoseconds(moment)) / 1e9)
