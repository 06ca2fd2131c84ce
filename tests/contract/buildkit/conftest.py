"""An engine at rest with an API before it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sampan.api.app import App
from sampan.engine.config import EngineConfig
from sampan.engine.engine import Engine


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    made = Engine(EngineConfig(data_root=f"{tmp_path}/data", exec_root=f"{tmp_path}/run"))
    yield made
    await made.close()


@pytest.fixture
async def app(engine: Engine) -> AsyncIterator[App]:
    made = App(engine, lambda: None)
    yield made
    made.end()
    for task in made.tasks():
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 30)
    assert not made.connections
