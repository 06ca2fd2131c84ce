"""Start-up: records brought in line with what runs on the machine (docs/recovery.md). Never refuses to start (S31)."""

from __future__ import annotations

import os
import time

from ..errors import NotFound, SampanError
from ..runtime import Exit, Shim, ShimGone, Status, read_exit
from . import cgroups, exec, exits, health, mounts, networks, restarts
from .container import Container
from .engine import Engine
from .launch import launch
from .removal import finish, remove_directory

KILLED = 137
"""The exit code of a container that ended with nobody to note how (power cut, kill -9 of its shim)."""


async def recover(engine: Engine) -> None:
    """Adopt what lives, settle what ended, collect what nobody owns, start what policies want."""
    _report(engine)
    wanted = [container for container in engine.containers if _wanted(container)]
    for container in engine.containers:
        try:
            await _recover_one(engine, container)
        except (SampanError, OSError) as error:
            engine.warnings.append(f"container {container.id}: cannot be recovered: {error}")
    _collect(engine)
    await networks.restore(engine)
    engine.snapshots.release_unused()
    for container in wanted:
        if container.id in engine.containers and not container.running:
            engine.spawn(_start_again(engine, container), f"boot {container.id[:12]}")


def _report(engine: Engine) -> None:
    if engine.db.damaged:
        engine.warnings.append(f"the database was damaged; it was moved to {engine.db.damaged} and a new one begun")
    for container_id in engine.containers.unreadable:
        engine.warnings.append(f"container {container_id}: its record cannot be read")


def _wanted(container: Container) -> bool:
    return restarts.wanted_at_boot(container.host_config.restart_policy, container.state)


async def _recover_one(engine: Engine, container: Container) -> None:
    try:
        shim = await Shim.connect(f"{engine.paths.shim(container.id)}/shim.sock")
    except (NotFound, ShimGone):
        await _without_shim(engine, container)
        return
    status = await shim.status()
    if status.phase in ("running", "stopped"):
        await _adopt(engine, container, shim, status)
        return
    # The daemon died between creating and starting it: as if it had never been started.
    await shim.close()
    await _without_shim(engine, container)


async def _adopt(engine: Engine, container: Container, shim: Shim, status: Status) -> None:
    live = engine.live(container)
    live.rootfs = engine.snapshots.mount(container.id)
    mounts.activate(engine, container, live.rootfs)
    live.shim = shim
    if not container.running:
        # It was running before its start could be noted.
        container.state.status = "running"
    container.state.pid = status.init_pid
    container.cgroup = status.cgroup or cgroups.path(engine, container)
    if status.started_at and not container.has_been_started:
        container.has_been_started = True
    if status.phase == "stopped" and status.exit is not None:
        await exits.settle(engine, container, status.exit)
        return
    _adopt_pause(engine, container)
    engine.containers.save(container)
    for exec_id, pid in status.execs.items():
        exec.adopt(engine, container, exec_id, pid)
    engine.spawn(exits.watch(engine, container, shim), f"watch {container.id[:12]}")
    health.begin(engine, container)


def _adopt_pause(engine: Engine, container: Container) -> None:
    container.state.status = "paused" if cgroups.of(engine, container).is_frozen() else "running"


async def _without_shim(engine: Engine, container: Container) -> None:
    """Nobody holds it: it never ran, has ended, or died with its shim."""
    if container.running or container.restarting:
        directory = engine.paths.container(container.id)
        await cgroups.destroy(engine, container)
        ended = read_exit(directory)
        if ended is None or _stale(container, ended):
            ended = Exit(status=KILLED, finished_at=time.time_ns())
        if container.running:
            await exits.settle(engine, container, ended)
        else:
            container.state.status = "exited"
            engine.containers.save(container)
    else:
        await cgroups.destroy(engine, container)
        if container.host_config.auto_remove and container.has_been_started:
            await finish(engine, container, volumes=True)


def _stale(container: Container, ended: Exit) -> bool:
    """Whether an exit.json is of an earlier run than the one in the record."""
    from ..model.times import nanoseconds

    return ended.finished_at < nanoseconds(container.state.started_at)


def _collect(engine: Engine) -> None:
    """Remove directories of containers that have no row, and layers that belong to none."""
    for name in os.listdir(engine.paths.containers):
        if (
            len(name) == 64
            and name.isalnum()
            and name not in engine.containers
            and name not in engine.containers.unreadable
        ):
            remove_directory(engine, name)
    for info in list(engine.snapshots.walk()):
        if not info.committed and len(info.key) == 64 and info.key not in engine.containers:
            try:
                engine.snapshots.remove(info.key)
            except (SampanError, OSError) as error:
                engine.warnings.append(f"layer {info.key}: cannot be removed: {error}")


async def _start_again(engine: Engine, container: Container) -> None:
    live = engine.live(container)
    async with live.lock:
        if container.running or container.id not in engine.containers:
            return
        live.cancel_restart()
        try:
            await launch(engine, container)
        except SampanError as error:
            engine.warn(f"container {container.id}: cannot be started at boot: {error}")
