"""Bringing one container up: everything between its record and its running program (docs/start.md)."""

from __future__ import annotations

import asyncio
import os

from .. import faults
from ..errors import Conflict, SampanError
from ..linux.namespaces import CLONE_NEWNET, open_namespace
from ..model.state import ContainerState
from ..model.times import rfc3339
from ..runtime import CreateContainer, Shim, bundle, exit_code
from . import environment, etc, exits, health, mounts, networks, spec, userns
from .container import Container
from .engine import Engine
from .live import Live


class Launch:
    """One attempt; `undo` takes back whatever has been done, in any state."""

    def __init__(self, engine: Engine, container: Container) -> None:
        self.engine = engine
        self.container = container
        self.live: Live = engine.live(container)
        self.shim: Shim | None = None
        self.mounted = False
        self.networked = False

    async def up(self) -> None:
        """Run all steps and record the start in one commit."""
        engine, container = self.engine, self.container
        environment.check_links(engine, container)
        plan = spec.plan(engine, container)
        spawning = asyncio.ensure_future(engine.zygote.spawn(container.id, parked=plan.parked))
        try:
            # The zygote makes the shim meanwhile.
            rootfs = self._mount()
            given = await mounts.activate(engine, container)
            faults.point("engine.start.mounted")
        finally:
            self.shim = await spawning
        if plan.parked:
            await self._connect(self.shim)  # its network namespace is there already
        faults.point("engine.start.connected")
        etc.write(engine, container)
        container.cgroup = plan.cgroup
        document = bundle.build(spec.inputs(engine, container, plan, rootfs, given))
        pid = await self._create(self.shim, spec.create_request(engine, container, plan, document))
        if not plan.parked:
            await self._connect(self.shim)
            etc.write(engine, container)  # in place: the program, which has not begun, finds its addresses
        faults.point("engine.start.created")
        started = await self.shim.start()
        faults.point("engine.start.running")
        self._record(pid, started)
        etc.relink(engine, container)

    def _mount(self) -> str:
        self.live.rootfs = userns.mount(self.engine, self.container)
        self.mounted = True
        return self.live.rootfs

    async def _connect(self, shim: Shim) -> None:
        hosted = self.container.host_config.network_mode == "host"
        if not (hosted or spec.has_own_network(self.container)) or not self.container.networks:
            return
        netns = open_namespace(os.getpid(), CLONE_NEWNET) if hosted else await shim.netns()
        try:
            self.networked = True
            await networks.attach_all(self.engine, self.container, netns)
        finally:
            os.close(netns)

    async def _create(self, shim: Shim, request: CreateContainer) -> int:
        pid = await shim.create(request)
        for pending in tuple(self.live.pending):
            if pending not in self.live.pending:
                continue  # its client left while another was handed over
            await shim.attach(pending.socket, stdin=pending.stdin, stdout=pending.stdout, stderr=pending.stderr)
        self.live.drop_pending()
        return pid

    def _record(self, pid: int, started_ns: int) -> None:
        container, old = self.container, self.container.state
        container.state = ContainerState(
            status="running",
            pid=pid,
            started_at=rfc3339(started_ns),
            finished_at=old.finished_at,
            restart_count=old.restart_count,
            health=health.initial(container),
        )
        container.has_been_started = True
        self.engine.container_event(container, "start")
        try:
            with self.engine.db.transaction():
                self.engine.containers.save(container)
                self.engine.events.flush()
        except BaseException:
            container.state = old
            raise
        self.live.shim = self.shim
        self.live.gone = asyncio.Event()
        assert self.shim is not None
        self.engine.spawn(exits.watch(self.engine, container, self.shim), f"watch {container.id[:12]}")
        health.begin(self.engine, container)

    async def undo(self) -> None:
        """Take everything back; what fails on the way does not keep the rest from being undone."""
        shim, self.live.shim = self.shim, None
        if shim is not None:
            await shim.close()
        await exits.release(self.engine, self.container, networked=self.networked, mounted=self.mounted)


async def launch(engine: Engine, container: Container) -> None:
    """Start a container whose lock the caller holds; on failure it is as before, with exit code and error noted."""
    attempt = Launch(engine, container)
    try:
        await attempt.up()
    except (SampanError, OSError) as error:
        await attempt.undo()
        raise _failed(engine, container, error) from error
    except BaseException:
        await attempt.undo()
        raise


def _failed(engine: Engine, container: Container, error: SampanError | OSError) -> SampanError:
    container.state.exit_code = exit_code(error)
    container.state.error = str(error)
    container.state.pid = 0
    if container.restarting:
        container.state.status = "exited"
    engine.live(container).drop_pending()
    engine.containers.save(container)
    return error if isinstance(error, SampanError) else SampanError(str(error))


def refuse_start(container: Container, live: Live) -> None:
    """Conflict where the state forbids a start."""
    if container.paused:
        raise Conflict("cannot start a paused container, try unpause instead")
    if live.removing:
        raise Conflict("container is marked for removal and cannot be started")
