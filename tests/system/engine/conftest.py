"""One engine directory with busybox for each worker; an engine is opened on it for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sampan.engine.engine import Engine

from ...support import engine as support


@pytest.fixture(scope="session")
def _shared_directory() -> Iterator[Path]:
    directory = support.new_directory()
    yield directory
    support.discard(directory)


@pytest.fixture
def netns() -> Iterator[None]:
    with support.own_network():
        yield


@pytest.fixture
def directory(netns: None) -> Iterator[Path]:
    """A directory of the test's own, for tests that open engines themselves."""
    path = support.new_directory()
    yield path
    support.discard(path)


@pytest.fixture
async def engine(netns: None, _shared_directory: Path) -> AsyncIterator[Engine]:
    """The worker's engine; its containers are removed afterwards."""
    async with support.opened(_shared_directory) as engine:
        yield engine
        await support.clear(engine)
