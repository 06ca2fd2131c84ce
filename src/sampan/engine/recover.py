"""Start-up: records brought in line with what runs on the machine (docs/recovery.md). Never refuses to start (S31)."""

from __future__ import annotations

import asyncio
import time

from ..errors import NotFound, SampanError
from ..model.times import nanoseconds
from ..rpc import files
from ..runtime import Exit, Shim, ShimGone, Status, read_exit
from . import (
    cgroups,
    copies,
    environment,
    exec,
    exits,
    health,
    mounts,
    networks,
    recreate,
    removal,
    remove,
    restarts,
    strays,
    userns,
)
from .container import Container
from .engine import Engine
from .launch import launch

BOOT_SECONDS = 5.0
"""How long the start of one container may hold up the next: its volume's plugin may not answer for minutes."""
POWER_CUT = 255
"""Docker's exit code for a container that was running when the machine went down."""


async def recover(engine: Engine) -> None:
    """Adopt what lives, settle what ended, collect what nobody owns, start what policies want."""
    if engine.db.damaged:
        engine.warnings.append(f"the database was damaged; it was moved to {engine.db.damaged} and a new one begun")
    if engine.db.is_new:
        copies.rebuild_images(engine)
        copies.rebuild(engine)
    engine.image_index.begin()
    for container_id in engine.containers.unreadable:
        engine.warnings.append(f"container {container_id}: its record cannot be read")
    wanted = [container for container in engine.containers if _wanted(container)]
    recreate.keep_both(engine)
    adopted = await _reconcile(engine)
    await strays.collect(engine)
    await networks.restore(engine)
    engine.snapshots.release_unused()
    for container, shim in adopted:
        engine.spawn(exits.watch(engine, container, shim), f"watch {container.id[:12]}")
        health.begin(engine, container)
    await _roll_back(engine)
    engine.spawn(_start_wanted(engine, wanted), "boot")


def _wanted(container: Container) -> bool:
    # What was only created waits for its user, whatever its policy; dockerd does the same.
    return container.has_been_started and restarts.wanted_at_boot(container.host_config.restart_policy, container.state)


async def _reconcile(engine: Engine) -> list[tuple[Container, Shim]]:
    """Look at every container; those that run, with their shims."""
    adopted = []
    for container in engine.containers:
        try:
            shim = await _reconcile_one(engine, container)
        except Exception as error:  # noqa: BLE001 (one record that nobody foresaw must not keep the others down: S31)
            engine.warnings.append(f"container {container.id}: cannot be recovered: {_told(error)}")
            continue
        if shim is not None:
            adopted.append((container, shim))
    return adopted


async def _reconcile_one(engine: Engine, container: Container) -> Shim | None:
    try:
        shim, status = await asyncio.wait_for(_ask(engine, container), strays.SHIM_SECONDS)
    except (NotFound, ShimGone):
        await _without_shim(engine, container)
        return None
    except TimeoutError:
        raise SampanError("its shim does not answer") from None
    if status.phase == "running":
        try:
            _adopt(engine, container, shim, status)
        except BaseException:
            shim.disconnect()  # it goes on; the next start may have more luck
            raise
        return shim
    # Stopped: it tells how. Else the daemon died between creating and starting it: as if it had never been started.
    await shim.close()
    await _without_shim(engine, container, status.exit)
    return None


async def _ask(engine: Engine, container: Container) -> tuple[Shim, Status]:
    shim = await Shim.connect(f"{engine.paths.shim(container.id)}/{files.SOCKET}")
    try:
        return shim, await shim.status()
    except BaseException:
        shim.disconnect()
        raise


def _adopt(engine: Engine, container: Container, shim: Shim, status: Status) -> None:
    live = engine.live(container)
    live.rootfs = userns.mount(engine, container)
    mounts.adopt(engine, container)
    live.shim = shim
    container.cgroup = status.cgroup or cgroups.name(engine, container)
    container.state.pid = status.init_pid
    container.state.status = "paused" if cgroups.of(engine, container).is_frozen() else "running"
    container.has_been_started = True
    engine.containers.save(container)
    for exec_id, pid in status.execs.items():
        exec.adopt(engine, container, exec_id, pid)


async def _without_shim(engine: Engine, container: Container, ended: Exit | None = None) -> None:
    """Nobody holds it: it never ran, has ended, or died with its shim."""
    await cgroups.destroy(engine, container)
    removal.remove_shim_directory(engine, container.id)
    if container.running:
        mounts.release_later(engine, container)
        await exits.settle(engine, container, ended or _how_it_ended(engine, container))
    elif container.restarting:
        container.state.status = "exited"
        engine.containers.save(container)
    elif container.host_config.auto_remove and container.has_been_started and not engine.live(container).keep:
        await removal.finish(engine, container, volumes=True)


def _how_it_ended(engine: Engine, container: Container) -> Exit:
    ended, started = read_exit(engine.paths.container(container.id)), nanoseconds(container.state.started_at)
    if ended is not None and ended.finished_at >= started:
        return ended
    status = POWER_CUT if started < _booted() else exits.SHIM_KILLED
    return Exit(status=status, finished_at=time.time_ns())


def _booted() -> int:
    """When the kernel came up, in ns since the epoch."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)


async def _roll_back(engine: Engine) -> None:
    """Changes that were cut short (recreate.py): the old container takes its place again, or goes if all was done."""
    for container in engine.containers:
        try:
            if container.superseded:
                await remove.remove(engine, container.id, force=True)
            elif container.replaces is not None:
                await recreate.roll_back(engine, container)
        except Exception as error:  # noqa: BLE001 (as above)
            engine.warnings.append(f"container {container.id}: its change cannot be rolled back: {_told(error)}")


def _told(error: Exception) -> str:
    """What went wrong; of what is a bug, its kind too: its text alone says nothing."""
    return str(error) if isinstance(error, SampanError | OSError) else f"{type(error).__name__}: {error}"


async def _start_wanted(engine: Engine, wanted: list[Container]) -> None:
    """One after the other, those first that others join or link to; only they wait for one that takes its time."""
    starts: dict[str, asyncio.Task[None]] = {}
    for container in in_order(engine, wanted):
        needed = [starts[one.id] for one in _needs(engine, container) if one.id in starts]
        starting = engine.spawn(_start_after(engine, container, needed), f"boot {container.id[:12]}")
        starts[container.id] = starting
        await asyncio.wait({starting}, timeout=BOOT_SECONDS)


async def _start_after(engine: Engine, container: Container, needed: list[asyncio.Task[None]]) -> None:
    if needed:
        await asyncio.wait(needed)
    live = engine.live(container)
    async with live.lock:
        if container.running or container.id not in engine.containers:
            return
        live.cancel_restart()
        try:
            await launch(engine, container)
        except Exception as error:  # noqa: BLE001 (as above)
            engine.warn(f"container {container.id}: cannot be started at boot: {_told(error)}")


def in_order(engine: Engine, wanted: list[Container]) -> list[Container]:
    """Sorted so that what a container needs comes before it; by age where nothing else decides."""
    found: dict[str, Container] = {}
    pending = {container.id: container for container in sorted(wanted, key=lambda container: container.created)}

    def visit(container: Container, above: frozenset[str]) -> None:
        for needed in _needs(engine, container):
            if needed.id in pending and needed.id not in above:
                visit(needed, above | {container.id})
        found.setdefault(container.id, container)

    for container in pending.values():
        visit(container, frozenset())
    return list(found.values())


def _needs(engine: Engine, container: Container) -> list[Container]:
    host = container.host_config
    modes = (host.network_mode, host.pid_mode, host.ipc_mode)
    refs = [mode.removeprefix("container:") for mode in modes if mode.startswith("container:")]
    refs += [target for target, _ in environment.links(container)]
    needed = []
    for ref in refs:
        try:
            needed.append(engine.containers.get(ref))
        except SampanError:
            continue  # gone: its start will say so
    return needed
