"""Health checks: a probe is an exec whose output is kept; status, streak and the last five probes are the record's."""

from __future__ import annotations

import asyncio
import socket

from msgspec import Struct

from ..errors import SampanError
from ..model.container import HealthConfig
from ..model.quantity import go_duration
from ..model.state import Health, HealthProbe
from ..model.times import rfc3339
from ..rpc.frames import Demultiplexer
from . import exec as execs
from . import restarts, stop
from .container import Container
from .engine import Engine
from .exec_config import ExecConfig

SECOND = 1_000_000_000
PROBES_KEPT = 5
OUTPUT_LIMIT = 4096
TIMED_OUT = -1


class Schedule(Struct, frozen=True):
    """Seconds, with Docker's defaults in place of zeros."""

    interval: float
    timeout: float
    start_period: float
    start_interval: float
    retries: int


def schedule(config: HealthConfig) -> Schedule:
    """The times of a health check."""
    return Schedule(
        interval=(config.interval or 30 * SECOND) / SECOND,
        timeout=(config.timeout or 30 * SECOND) / SECOND,
        start_period=config.start_period / SECOND,
        start_interval=(config.start_interval or 5 * SECOND) / SECOND,
        retries=config.retries or 3,
    )


def command(container: Container) -> list[str] | None:
    """What a probe runs; None when the container has no health check."""
    config = container.config.healthcheck
    test = config.test if isinstance(config, HealthConfig) else None
    match test or []:
        case ["CMD", *words]:
            return words or None
        case ["CMD-SHELL", line, *_]:
            shell = container.config.shell
            return [*(shell if isinstance(shell, list) and shell else ["/bin/sh", "-c"]), line]
    return None


def initial(container: Container) -> Health | None:
    """The health of a container that starts now."""
    return Health(status="starting", log=[]) if command(container) else None


def begin(engine: Engine, container: Container) -> None:
    """Probe from now on, until the container's end cancels it."""
    words = command(container)
    if words is None or not isinstance(container.config.healthcheck, HealthConfig):
        return
    monitor = Monitor(engine, container, words, schedule(container.config.healthcheck))
    engine.live(container).health = engine.spawn(monitor.run(), f"health {container.id[:12]}")


class Monitor:
    """The probes of one run of a container."""

    def __init__(self, engine: Engine, container: Container, words: list[str], times: Schedule) -> None:
        self.engine = engine
        self.container = container
        self.words = words
        self.times = times
        self.began_ns = engine.clock.time_ns()

    async def run(self) -> None:
        """Probe for ever; a paused container is left alone."""
        while True:
            await self.engine.clock.sleep(self._pause())
            if self.container.paused:
                continue
            self.record(await probe(self.engine, self.container, self.words, self.times.timeout))

    def _starting(self) -> bool:
        health = self.container.state.health
        elapsed = (self.engine.clock.time_ns() - self.began_ns) / SECOND
        return health is not None and health.status == "starting" and elapsed < self.times.start_period

    def _pause(self) -> float:
        return self.times.start_interval if self._starting() else self.times.interval

    def record(self, result: HealthProbe) -> None:
        """Count one probe; a change of status is stored, told, and acted on."""
        health = self.container.state.health
        if health is None:
            return
        starting = self._starting()
        health.log = [*(health.log or []), result][-PROBES_KEPT:]
        before = health.status
        if result.exit_code == 0:
            health.failing_streak, health.status = 0, "healthy"
        elif not starting:
            health.failing_streak += 1
            if health.failing_streak >= self.times.retries:
                health.status = "unhealthy"
        if health.status != before:
            self._changed(health.status)

    def _changed(self, status: str) -> None:
        self.engine.container_event(self.container, f"health_status: {status}")
        self.engine.containers.save(self.container)
        policy = self.container.host_config.restart_policy
        if status == "unhealthy" and policy.name == "on-unhealthy":
            self.engine.spawn(self._bring_down(), f"unhealthy {self.container.id[:12]}")

    async def _bring_down(self) -> None:
        state, policy = self.container.state, self.container.host_config.restart_policy
        if restarts.wanted_after_exit(policy, state, unhealthy=True):
            await stop.stop_running(self.engine, self.container, None, None)


async def probe(engine: Engine, container: Container, words: list[str], timeout: float) -> HealthProbe:
    """Run the check once; what cannot be run, or does not end in time, has failed."""
    began = engine.clock.time_ns()
    try:
        code, output = await _run(engine, container, words, timeout)
    except (SampanError, OSError) as error:
        code, output = TIMED_OUT, str(error)
    return HealthProbe(start=rfc3339(began), end=rfc3339(engine.clock.time_ns()), exit_code=code, output=output)


async def _run(engine: Engine, container: Container, words: list[str], timeout: float) -> tuple[int, str]:
    config = ExecConfig(cmd=words, attach_stdout=True, attach_stderr=True)
    exec_id = execs.create(engine, container.id, config)
    attachment = await execs.start(engine, exec_id, execs.ExecStart())
    assert attachment is not None and attachment.socket is not None
    try:
        output = await asyncio.wait_for(_read(attachment.socket), timeout)
        status = await asyncio.wait_for(execs.result(engine, exec_id), timeout)
    except TimeoutError:
        await execs.kill(engine, exec_id)
        return TIMED_OUT, f"Health check exceeded timeout ({go_duration(round(timeout * SECOND))})"
    finally:
        attachment.close()
    return status, output


async def _read(sock: socket.socket) -> str:
    """The first OUTPUT_LIMIT bytes of what the frames carry; reads on to the end."""
    loop = asyncio.get_running_loop()
    frames, text = Demultiplexer(), b""
    while data := await loop.sock_recv(sock, 65536):
        text = (text + frames.payload(data))[: OUTPUT_LIMIT + 1]
    shown = text[:OUTPUT_LIMIT].decode(errors="replace")
    return shown + "..." if len(text) > OUTPUT_LIMIT else shown
