"""The way to a registry."""

from __future__ import annotations

import asyncio
import threading

import pytest

from sampan.engine.registries import Registries
from sampan.registry import config
from sampan.registry.config import ANONYMOUS, RegistryConfig
from sampan.registry.failures import Unreachable


async def test_a_name_server_that_is_away_holds_nobody_else_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(config, "_addresses", lambda domain: [] if answered.wait(30) else pytest.fail("the loop waits"))

    async def work(_: object) -> None:
        raise Unreachable("nothing is asked of it")

    connecting = asyncio.create_task(Registries(RegistryConfig(max_attempts=1)).connect("localhost:9", ANONYMOUS, work))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(answered.set)
    with pytest.raises(Unreachable):
        await connecting
