"""Restart policies and health checks, with time in the test's hands."""

from __future__ import annotations

import asyncio
from itertools import chain
from pathlib import Path

import pytest

from sampan.engine import kill, start, stop, update, wait
from sampan.engine.container import Container
from sampan.engine.engine import Engine
from sampan.errors import Conflict, InvalidArgument
from sampan.model.container import HealthConfig, HostConfig, RestartPolicy

from ...support import engine as support
from ...support.clock import SECOND, FakeClock
from ...support.engine import make, opened, up


def policy(name: str, retries: int = 0) -> HostConfig:
    return HostConfig(network_mode="none", restart_policy=RestartPolicy(name=name, maximum_retry_count=retries))


async def ended(engine: Engine, container: Container) -> None:
    """Wait for the end of the present run."""
    ticket = wait.wait(engine, container.id, "next-exit")
    if container.running:
        await ticket.result(20)
    ticket.close()


async def started(engine: Engine, container: Container) -> None:
    async with asyncio.timeout(20):
        feed = engine.events.subscribe({"container": [container.id], "event": ["start"]})
        if not container.running:
            await anext(feed)
        feed.close()


async def test_on_failure_backs_off_and_gives_up(directory: Path) -> None:
    clock = FakeClock()
    async with opened(directory, clock) as engine:
        container = await make(engine, "false", host=policy("on-failure", 3))
        starts = engine.events.subscribe({"event": ["start"]})
        await start.start(engine, container.id)
        delays = []
        for _ in range(3):
            await anext(starts)
            delays.append(await clock.next())
        await anext(starts)
        await ended(engine, container)
        assert delays == [0.1, 0.2, 0.4]
        assert (container.state.status, container.state.restart_count) == ("exited", 3)
        fine = await up(engine, "true", host=policy("on-failure"))
        await ended(engine, fine)
        assert fine.state.status == "exited"
        await support.clear(engine)


async def test_always_restarts_until_stopped(directory: Path) -> None:
    clock = FakeClock()
    async with opened(directory, clock) as engine:
        container = await up(engine, "true", host=policy("always"))
        await clock.sleeping()
        assert container.state.status == "restarting"
        with pytest.raises(Conflict, match="is restarting, wait until the container is running"):
            from sampan.engine import exec as execs

            execs.create(engine, container.id, execs.ExecConfig(cmd=["true"]))
        await stop.stop(engine, container.id)
        assert container.state.status == "exited"
        await clock.advance(100)
        assert container.state.status == "exited"
        long = await up(engine, "sleep", "1000", host=policy("always"))
        await kill.kill(engine, long.id)
        assert long.state.status == "exited"
        await start.start(engine, long.id)
        with pytest.raises(InvalidArgument, match="unknown policy 'foo'; use one of"):
            await update.update(engine, long.id, update.UpdateRequest(restart_policy=RestartPolicy(name="foo")))
        await update.update(engine, long.id, update.UpdateRequest(restart_policy=RestartPolicy(name="no")))
        assert long.host_config.restart_policy.name == "no"
        await support.clear(engine)


async def probe_until(clock: FakeClock, engine: Engine, container: Container, status: str) -> list[float]:
    """Let probes run until the health has a status; the pauses between them."""
    pauses = []
    health = container.state.health
    async with asyncio.timeout(20):
        while health is not None and health.status != status:
            pauses.append(await clock.next())
            await clock.sleeping()
    return pauses


async def test_health(directory: Path) -> None:
    clock = FakeClock()
    check = HealthConfig(
        test=["CMD-SHELL", "echo checked; test -e /ok"], interval=7 * SECOND, timeout=20 * SECOND, retries=2,
        start_period=30 * SECOND, start_interval=2 * SECOND,
    )  # fmt: skip
    async with opened(directory, clock) as engine:
        container = await up(engine, "sh", "-c", "while :; do sleep 1000; done", healthcheck=check)
        assert container.state.health is not None and container.state.health.status == "starting"
        pauses = [await clock.next() for _ in range(2)]
        assert pauses == [2.0, 2.0]  # within the start period failures do not count
        await clock.sleeping()
        assert container.state.health.failing_streak == 0
        assert container.state.health.log is not None
        assert (container.state.health.log[-1].exit_code, container.state.health.log[-1].output) == (1, "checked\n")
        await clock.advance(40)
        await clock.sleeping()
        assert await probe_until(clock, engine, container, "unhealthy") == [7.0]
        with open(f"/proc/{container.state.pid}/root/ok", "w"):
            pass
        assert await probe_until(clock, engine, container, "healthy") == [7.0]
        for _ in range(5):
            await clock.next()
            await clock.sleeping()
        assert len(container.state.health.log) == 5
        told = [
            e.action
            for e in chain.from_iterable(engine.events.history(0, 1 << 62))
            if e.action.startswith("health_status")
        ]
        assert told == ["health_status: unhealthy", "health_status: healthy"]
        await support.clear(engine)


async def test_a_probe_that_hangs_and_restart_on_unhealthy(directory: Path) -> None:
    clock = FakeClock()
    check = HealthConfig(test=["CMD", "sleep", "1000"], interval=SECOND, timeout=SECOND // 5, retries=1)
    async with opened(directory, clock) as engine:
        container = await up(engine, "sleep", "1000", host=policy("on-unhealthy", 1), healthcheck=check,
                             stop_timeout=0)  # fmt: skip
        first = container.state.pid
        health = container.state.health
        await clock.next()
        feed = engine.events.subscribe({"event": ["die", "health_status"]})
        assert (await anext(feed)).action == "health_status: unhealthy"
        assert health is not None and health.log is not None
        assert health.log[0].output == "Health check exceeded timeout (200ms)"
        assert (await anext(feed)).action == "die"
        assert await clock.next() == 0.1
        await started(engine, container)
        assert container.state.pid != first
        assert container.state.restart_count == 1
        await clock.next()
        assert (await anext(feed)).action == "health_status: unhealthy"
        assert container.running  # its tries are used up: it is left unhealthy
        await support.clear(engine)
