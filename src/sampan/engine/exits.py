"""The end of a container: noticed, recorded, released, and followed by what its policy wants."""

from __future__ import annotations

import asyncio
import time

from .. import faults
from ..errors import SampanError
from ..model.times import nanoseconds, rfc3339
from ..runtime import Exit, Shim
from . import cgroups, exec, mounts, networks, removal, restarts, secrets, shm
from .container import Container
from .engine import Engine
from .live import Live, WaitResult

SHIM_KILLED = 137
"""The exit code of a container whose shim was killed: its processes go by SIGKILL."""


async def watch(engine: Engine, container: Container, shim: Shim) -> None:
    """Follow one run of a container to its end."""
    async for ended in shim.exits:
        if ended.exec_id is not None:
            exec.ended(engine, container, ended)
        else:
            await settle(engine, container, ended)
            return
    await settle(engine, container, Exit(status=SHIM_KILLED, finished_at=time.time_ns()))


async def settle(engine: Engine, container: Container, ended: Exit) -> None:
    """Bring record, kernel and waiting callers in line with the end of the container's process."""
    live = engine.live(container)
    async with live.lock:
        shim, live.shim = live.shim, None
        live.gone.set()
        live.cancel_health()
        unhealthy = container.state.health is not None and container.state.health.status == "unhealthy"
        exec.abandon(engine, container)
        await asyncio.gather(_close(engine, container, shim), release(engine, container, networked=True, mounted=True))
        faults.point("engine.exit.released")
        note(container, ended)
        if ended.oom_killed:
            engine.container_event(container, "oom")
        _die_event(engine, container, ended)
        await _follow_up(engine, container, live, ended, unhealthy=unhealthy)


async def _close(engine: Engine, container: Container, shim: Shim | None) -> None:
    if shim is None:
        return
    if not shim.gone:
        await shim.close()
        return
    try:  # nobody is left to do it: its processes and its cgroup are ours to end
        await cgroups.destroy(engine, container)
    except OSError as error:  # a process in D state, say: the end is told all the same
        engine.warn(f"container {container.id}: cannot remove its control group: {error}")
    removal.remove_shim_directory(engine, container.id)


async def release(engine: Engine, container: Container, *, networked: bool, mounted: bool) -> None:
    """Give back what a running container holds; each part on its own, so that one failure leaks nothing else."""
    if networked and container.networks:
        try:
            await networks.detach_all(engine, container)
        except (SampanError, OSError) as error:
            engine.warn(f"container {container.id}: cannot detach networks: {error}")
    if mounted:
        for part, what in ((mounts.release, "volumes"), (_unmount, "root file system")):
            try:
                await part(engine, container)
            except (SampanError, OSError) as error:
                engine.warn(f"container {container.id}: cannot release {what}: {error}")


async def _unmount(engine: Engine, container: Container) -> None:
    shm.release(engine, container)
    secrets.release(engine, container)
    engine.snapshots.unmount(container.id)


def note(container: Container, ended: Exit) -> None:
    """Write the end into the record (not yet to disk)."""
    state = container.state
    state.status = "exited"
    state.pid = 0
    state.exit_code = ended.status
    state.oom_killed = ended.oom_killed
    state.finished_at = rfc3339(ended.finished_at or time.time_ns())
    container.cgroup = ""


def ran_seconds(container: Container) -> float:
    """How long the latest run took."""
    state = container.state
    return max(0.0, (nanoseconds(state.finished_at) - nanoseconds(state.started_at)) / 1e9)


def _die_event(engine: Engine, container: Container, ended: Exit) -> None:
    engine.container_event(container, "die", exitCode=str(ended.status), execDuration=str(int(ran_seconds(container))))


async def _follow_up(engine: Engine, container: Container, live: Live, ended: Exit, *, unhealthy: bool) -> None:
    result = WaitResult(ended.status)
    again = not live.removing and restarts.wanted_after_exit(
        container.host_config.restart_policy, container.state, unhealthy=unhealthy
    )
    if container.host_config.auto_remove and not (again or live.removing or live.keep):
        live.resolve("not-running", "next-exit", result=result)
        await removal.finish(engine, container, volumes=True)
        return
    if again:
        live.delay = restarts.next_delay(live.delay, ran_seconds(container))
        container.state.status = "restarting"
        container.state.restart_count += 1
        live.restart = engine.spawn(_restart_later(engine, container, live.delay), f"restart {container.id[:12]}")
    try:
        with engine.db.transaction():
            engine.containers.save(container)
            engine.events.flush()
    finally:
        live.resolve("not-running", "next-exit", result=result)  # it has ended, whatever the disk says


async def _restart_later(engine: Engine, container: Container, delay: float) -> None:
    from .launch import launch  # launch imports this module

    await engine.clock.sleep(delay)
    live = engine.live(container)
    async with live.lock:
        if live.restart is not asyncio.current_task() or not container.restarting or live.removing:
            return
        live.restart = None
        try:
            await launch(engine, container)
        except SampanError as error:
            engine.warn(f"container {container.id}: cannot restart: {error}")
