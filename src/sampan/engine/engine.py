"""The composition: one object that holds the parts; the use cases are functions beside it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from ..db import Database
from .config import EngineConfig
from .container import Container, Containers
from .events import Events
from .live import Live


class Engine:
    """All parts of one engine. Use it from one event loop; open it with `Engine.open`."""

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.paths = config.paths
        _make_roots(config)
        self.db = Database(self.paths.database)
        self.containers = Containers(self.db)
        self.events = Events(self.db, config.event_journal_rows)
        self.warnings: list[str] = []
        """What start-up found and mended, and what this kernel cannot do; shown in the log and by `info`."""
        self._lives: defaultdict[str, Live] = defaultdict(Live)
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, config: EngineConfig, zygote: tuple[int, socket.socket] | None = None) -> AsyncIterator[Engine]:
        """The engine, reconciled with what runs on the machine; containers go on when it closes.

        `zygote` is what `shim.zygote.fork()` gave before the event loop was imported; without it one is started.
        """
        engine = cls(config)
        try:
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
        """Run something beside the caller until the engine closes; its failure is the loop's to report."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def container_event(self, container: Container, action: str, **attributes: str) -> None:
        """Publish an event of a container's with Docker's attributes: its labels, image and name."""
        labels = container.config.labels or {}
        about = {**labels, **attributes, "image": container.config.image, "name": container.name}
        self.events.publish("container", action, container.id, about)

    async def close(self) -> None:
        """Let go of everything; containers go on running under their shims."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.events.close()
        self.db.close()


def _make_roots(config: EngineConfig) -> None:
    paths = config.paths
    for path in (paths.data_root, paths.exec_root, paths.containers, paths.tmp, paths.shims):
        # Other users may pass through to nothing below: they neither list nor read (S18).
        os.makedirs(path, mode=0o710, exist_ok=True)
        os.chmod(path, 0o710)
