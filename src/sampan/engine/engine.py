"""The composition: one object that holds the parts; the use cases are functions beside it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ..cas import Store
from ..db import Database
from ..image.images import Images
from ..image.record import ImageUser
from ..network.config import NetworkDefaults
from ..network.networks import Networks
from ..oci.shortnames import ShortNames
from ..runtime import Zygote
from ..storage import Layers
from ..volume import Volumes
from . import kernel, mounts, parts
from .clock import Clock
from .config import EngineConfig
from .container import Container, Containers
from .events import Events
from .imageindex import ImageIndex
from .layers import LayerSnapshots
from .live import Live
from .registries import Registries, registry_config

if TYPE_CHECKING:
    from .exec import Exec

log = logging.getLogger("sampan.engine")


class Engine:
    """All parts of one engine. Use it from one event loop; open it with `Engine.open`."""

    def __init__(self, config: EngineConfig, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or Clock()
        self.paths = config.paths
        self.warnings: list[str] = []
        """What start-up found and mended, and what this kernel cannot do; shown in the log and by `info`."""
        parts.make_roots(self.paths)
        self.kernel = kernel.probe(parts.shims_parent(config))
        self.db = Database(self.paths.database)
        self.events = Events(self.db, config.event_journal_rows)
        self.store = Store(self.paths.content, self.paths.tmp)
        self.snapshots: Layers = parts.open_snapshots(config, self.db)
        self.images = Images(self.db, self.store, LayerSnapshots(self.snapshots))
        self.images.short_names = ShortNames.of(config.registry.default, config.registry.search)
        self.image_index = ImageIndex(self.images)
        self.registries = Registries(registry_config(config))
        self.volumes = Volumes(self.db, self.paths.volumes, lambda name: mounts.users(self, name), parts.owner(config))
        self.networks = Networks(self.db, _network_defaults(config), self.paths.networks)
        self.containers = Containers(self.db)
        self.zygote = Zygote(self.paths.exec_root, parts.shims_parent(config), config.parked_sandboxes)
        self.execs: dict[str, Exec] = {}
        self.finished_execs: deque[str] = deque()
        self._lives: defaultdict[str, Live] = defaultdict(Live)
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, config: EngineConfig, zygote: tuple[int, socket.socket] | None = None, clock: Clock | None = None
    ) -> AsyncIterator[Engine]:
        """The engine, reconciled with what runs on the machine; containers go on when it closes.

        `zygote` is what `shim.zygote.fork()` gave before the event loop was imported; without it one is started.
        """
        from .recover import recover  # it knows the use cases, which know the engine

        engine = cls(config, clock)
        try:
            if zygote is None:
                engine.zygote.launch()
            else:
                engine.zygote.adopt(*zygote)
            await engine.networks.start()
            engine.warnings += engine.networks.warnings
            await recover(engine)
            yield engine
        finally:
            await engine.close()

    def live(self, container: Container) -> Live:
        """The run-time side of a container."""
        return self._lives[container.id]

    def drop_live(self, container: Container) -> None:
        """The container is gone."""
        self._lives.pop(container.id, None)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something beside the caller until the engine closes; its failure is logged."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)

    def warn(self, text: str) -> None:
        """Tell the operator about something that did not stop the work."""
        log.warning("%s", text)

    def container_event(self, container: Container, action: str, **attributes: str) -> None:
        """Publish an event of a container's with Docker's attributes: its labels, image and name."""
        labels = container.config.labels or {}
        about = {**labels, **attributes, "image": container.config.image, "name": container.name}
        self.events.publish("container", action, container.id, about)

    def publish_image(self, action: str, actor: str, attributes: dict[str, str]) -> None:
        """Publish an event of type `image`."""
        self.events.publish("image", action, actor, attributes)

    def image_users(self) -> Iterable[ImageUser]:
        """Every container, with the image that it was made from."""
        return [ImageUser(container.id, container.image_id, container.running) for container in self.containers]

    async def close(self) -> None:
        """Let go of everything; containers go on running under their shims."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for live in self._lives.values():
            live.drop_pending()
            if live.shim is not None:
                live.shim.disconnect()
        await self.zygote.close()
        if not any(container.running for container in self.containers):
            await parts.drop_shims_group(self.config)
        await self.networks.close()
        self.events.close()
        self.image_index.settle()
        self.snapshots.close()
        self.volumes.close()
        self.db.close()


def _network_defaults(config: EngineConfig) -> NetworkDefaults:
    """The settings of networks, with the resolvers that containers get."""
    given = config.container
    return replace(config.network, dns=given.dns, dns_options=given.dns_options, dns_search=given.dns_search)
