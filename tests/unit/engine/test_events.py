"""The event bus, its journal and its filters."""

from __future__ import annotations

import asyncio
import time
from itertools import chain
from pathlib import Path

import pytest

from sampan.db import Database
from sampan.engine import events
from sampan.engine.events import Event, Events, matches


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return Database(str(tmp_path / "db"))


async def test_replay_then_live_without_a_gap(db: Database) -> None:
    bus = Events(db)
    bus.publish("container", "create", "c1", {"name": "one"})
    feed = events.follow(bus, 0, None)
    seen = await anext(feed)
    bus.publish("container", "start", "c1")
    seen += await anext(feed)
    assert [event.action for event in seen] == ["create", "start"]
    await feed.aclose()
    bus.close()
    db.close()


async def test_a_span_in_the_past_ends(db: Database) -> None:
    bus = Events(db)
    first = bus.publish("image", "pull", "i1")
    bus.publish("image", "tag", "i1")
    seen = [event.action async for some in events.follow(bus, 0, first.time_ns) for event in some]
    assert seen == ["pull"]
    later = [some async for some in events.follow(bus, None, time.time_ns() - 1)]
    assert later == []
    bus.close()
    db.close()


async def test_until_a_moment_to_come(db: Database) -> None:
    bus = Events(db)
    feed = events.follow(bus, None, time.time_ns() + 50_000_000)
    waiting = asyncio.ensure_future(_drain(feed))
    await asyncio.sleep(0)
    bus.publish("network", "create", "n1")
    assert [event.type for event in await asyncio.wait_for(waiting, 5)] == ["network"]
    bus.close()
    db.close()


async def _drain(feed: object) -> list[Event]:
    return [event async for some in feed for event in some]  # type: ignore[attr-defined]


async def test_the_journal_is_bounded_and_outlives_the_bus(db: Database) -> None:
    bus = Events(db, keep=3)
    for number in range(6):
        bus.publish("container", "create", f"c{number}")
    bus.close()
    assert [event.actor for event in chain.from_iterable(Events(db).history(0, 1 << 62))] == ["c3", "c4", "c5"]
    db.close()


async def test_a_subscriber_that_does_not_read_is_cut_off(db: Database) -> None:
    bus = Events(db)
    feed = bus.subscribe()
    for _ in range(events.SUBSCRIBER_BACKLOG + 5):
        bus.publish("container", "exec_die", "c")
    assert len([event async for event in feed]) == events.SUBSCRIBER_BACKLOG
    bus.close()
    db.close()


EVENT = Event("container", "health_status: healthy", "abc123", {"name": "web", "image": "busybox", "tier": "front"})


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, True),
        ({"type": ["image", "container"]}, True),
        ({"type": ["image"]}, False),
        ({"event": ["health_status"]}, True),
        ({"event": ["health_status: healthy"]}, True),
        ({"event": ["start"]}, False),
        ({"container": ["web"]}, True),
        ({"container": ["abc"]}, True),
        ({"container": ["we"]}, True),
        ({"container": ["/web"]}, False),
        ({"container": ["other"]}, False),
        ({"image": ["busybox"]}, True),
        ({"image": ["busyb"]}, False),
        ({"label": ["tier=front"]}, True),
        ({"label": ["tier", "none"]}, False),
        ({"scope": ["local"], "type": ["container"]}, True),
        ({"scope": ["swarm"]}, False),
    ],
)
def test_filters(filters: dict[str, list[str]], wanted: bool) -> None:
    assert matches(EVENT, filters) is wanted


async def test_a_long_past_is_read_some_at_a_time(db: Database) -> None:
    bus, size = Events(db), events.PAGE_ROWS
    for number in range(2 * size + 1):
        bus.publish("container", "start" if number % 2 else "die", f"c{number}")
    pages = list(bus.history(0, 1 << 62, {"event": ["die"]}))
    assert [len(page) for page in pages] == [size // 2, size // 2, 1]
    assert [event.actor for event in chain.from_iterable(pages)] == [f"c{n}" for n in range(0, 2 * size + 1, 2)]
    bus.close()
    db.close()
