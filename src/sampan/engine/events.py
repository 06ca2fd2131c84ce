"""Events: published to subscribers at once, kept in the database for replay.

The journal is written in batches: with the next commit of the engine's, or after `FLUSH_SECONDS`. A crash of the host
may lose that much of the journal, never of the truth it reports.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from msgspec import Struct, field

from ..db import Database, Row
from ..model.filters import Filters, has_label

FLUSH_SECONDS = 1.0
SUBSCRIBER_BACKLOG = 8192
"""A subscriber that lags further behind is cut off rather than let memory grow."""


PAGE_ROWS = 512
_PAGE = "SELECT * FROM event WHERE sequence > ? AND time_ns >= ? AND time_ns <= ? ORDER BY sequence LIMIT ?"


class Event(Struct, frozen=True):
    """One happening. `type` is container, image, network, volume, daemon, builder or plugin.

    `attributes` are Docker's actor attributes: a container's labels, image and name; a network's name and type; ….
    """

    type: str
    action: str
    actor: str
    attributes: dict[str, str] = field(default_factory=dict)
    scope: str = "local"
    time_ns: int = 0


class Subscription:
    """A live feed; iterate it, and `close` it when done."""

    def __init__(self, bus: Events, filters: Filters) -> None:
        self._bus = bus
        self._filters = filters
        self._queue: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    def offer(self, event: Event) -> None:
        """Called by the bus for each event."""
        if not matches(event, self._filters):
            return
        if len(self._queue) >= SUBSCRIBER_BACKLOG:
            self.close()
            return
        self._queue.append(event)
        self._wake.set()

    def close(self) -> None:
        """End the feed; events already queued are still delivered."""
        self._closed = True
        self._bus.drop(self)
        self._wake.set()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._queue.popleft()


class Events:
    """The bus and its journal."""

    def __init__(self, db: Database, keep: int = 65536) -> None:
        self._db = db
        self._keep = keep
        self._pending: list[Event] = []
        self._subscribers: set[Subscription] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0

    def publish(
        self, type_: str, action: str, actor: str, attributes: Mapping[str, str] | None = None, scope: str = "local"
    ) -> Event:
        """Tell all subscribers and queue the event for the journal; times never run backwards."""
        self._last = max(self._last + 1, time.time_ns())
        event = Event(type_, action, actor, dict(attributes or {}), scope, self._last)
        self._pending.append(event)
        for subscriber in list(self._subscribers):
            subscriber.offer(event)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
        return event

    @property
    def listeners(self) -> int:
        """How many feeds are open."""
        return len(self._subscribers)

    def subscribe(self, filters: Filters | None = None) -> Subscription:
        """A feed of what happens from now on."""
        subscription = Subscription(self, filters or {})
        self._subscribers.add(subscription)
        return subscription

    def drop(self, subscription: Subscription) -> None:
        """Forget a subscriber."""
        self._subscribers.discard(subscription)

    def flush(self) -> None:
        """Write the queued events; inside a transaction of the engine's they cost no fsync of their own."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pending, self._pending = self._pending, []
        if not pending:
            return
        with self._db.transaction():
            self._db.execute_many(
                "INSERT INTO event (time_ns, type, action, actor, attributes, scope) VALUES (?, ?, ?, ?, ?, ?)",
                [(e.time_ns, e.type, e.action, e.actor, json.dumps(e.attributes), e.scope) for e in pending],
            )
            self._db.execute("DELETE FROM event WHERE sequence <= (SELECT max(sequence) FROM event) - ?", (self._keep,))

    def history(self, since_ns: int, until_ns: int, filters: Filters | None = None) -> Iterator[list[Event]]:
        """What was journalled in that span, oldest first and some at a time: all of it may be 60 MB and a second."""
        self.flush()
        sequence = 0
        while rows := self._db.query(_PAGE, (sequence, since_ns, until_ns, PAGE_ROWS)):
            sequence = rows[-1]["sequence"]
            yield [event for event in map(_event, rows) if matches(event, filters or {})]

    def close(self) -> None:
        """End all feeds and write what is queued."""
        for subscriber in list(self._subscribers):
            subscriber.close()
        self.flush()


async def follow(
    events: Events, since_ns: int | None, until_ns: int | None, filters: Filters | None = None
) -> AsyncIterator[list[Event]]:
    """`docker events`: the past from `since_ns` when given, then the present up to `until_ns`, or for ever.

    The past comes many at a time, the present one by one. A time span wholly in the past ends at once.
    """
    live = events.subscribe(filters)
    try:
        last = 0
        if since_ns is not None:
            for page in events.history(since_ns, until_ns if until_ns is not None else time.time_ns(), filters):
                if page:
                    last = page[-1].time_ns
                    yield page
                await asyncio.sleep(0)  # others have their turn
        async for event in _until(live, until_ns):
            if event.time_ns > last:
                yield [event]
    finally:
        live.close()


async def _until(live: Subscription, until_ns: int | None) -> AsyncIterator[Event]:
    timer: asyncio.TimerHandle | None = None
    if until_ns is not None:
        remaining = (until_ns - time.time_ns()) / 1e9
        if remaining <= 0:
            return
        timer = asyncio.get_running_loop().call_later(remaining, live.close)
    try:
        async for event in live:
            yield event
    finally:
        if timer is not None:
            timer.cancel()


def _event(row: Row) -> Event:
    return Event(row["type"], row["action"], row["actor"], json.loads(row["attributes"]), row["scope"], row["time_ns"])


KINDS = frozenset(
    ("builder", "config", "container", "daemon", "image", "network", "node", "plugin", "secret", "service", "volume")
)
FILTERS = KINDS | {"type", "event", "label", "scope"}
"""What counts; others say nothing, as with dockerd."""


def matches(event: Event, filters: Filters) -> bool:
    """Docker's rules: values of one filter are alternatives, different filters must all hold."""
    return all(_match(event, name, values) for name, values in filters.items() if values)


def _match(event: Event, name: str, values: Sequence[str]) -> bool:
    if name == "event":
        # `health_status: healthy` and `exec_start: cmd` are found by their first word too.
        return event.action in values or event.action.split(":", 1)[0] in values
    if name == "type":
        return event.type in values
    if name == "scope":
        return event.scope in values
    if name == "label":
        return all(has_label(event.attributes, value) for value in values)
    return _names_actor(event, name, values)


def _names_actor(event: Event, kind: str, values: Sequence[str]) -> bool:
    """By the beginning of an id or a name, whatever the event is about: dockerd 28.5's rule (compat/golden/events)."""
    name = event.attributes.get("name", "")
    if kind != "image":
        return any(event.actor.startswith(value) or name.startswith(value) for value in values)
    image = name if event.type == "image" else event.attributes.get("image", "")
    return any(value in (event.actor, image, _without_tag(event.actor), _without_tag(image)) for value in values)


def _without_tag(name: str) -> str:
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name
