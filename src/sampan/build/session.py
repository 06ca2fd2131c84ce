"""One build's surroundings: what the executors need beside the graph."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from secrets import token_hex
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakValueDictionary

from ..cas.threads import run_in_thread
from ..errors import SampanError
from ..model.container import HostConfig
from .progress import BuildEvent, Listener, StepDone, StepStarted, StepStatus
from .result import Solved

if TYPE_CHECKING:
    from ..engine.engine import Engine
    from .cacheimport import Imports
    from .filetree import FileTree
    from .graph import Vertex
    from .provenance import Material


@dataclass(frozen=True)
class Arriving:
    """A context that its client sends when a step first asks for it."""

    receive: Callable[[], Awaitable[FileTree]]


Context: TypeAlias = "str | FileTree | Arriving"
"""A directory, what came from a client, or what is to come."""
ENTITLEMENTS = frozenset({"network.host"})
"""What a build asks for of its own accord. It gets no more than the daemon's configuration allows."""


@dataclass
class Session:
    """`contexts`: by the name of a LocalSource. `secrets`: bytes by id. `ssh`: agents' sockets by id.

    `limits` carries memory, cpu, shm-size, ulimits, extra hosts of the request; `entitlements` are checked by the
    executors themselves (S21). `epoch` is SOURCE_DATE_EPOCH in seconds, or None.
    """

    engine: Engine
    listener: Listener
    contexts: Mapping[str, Context] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    ssh: Mapping[str, str] = field(default_factory=dict)
    limits: HostConfig = field(default_factory=HostConfig)
    entitlements: frozenset[str] = ENTITLEMENTS
    epoch: int | None = None
    explain: bool = False
    imports: Imports | None = None
    """Caches from elsewhere that the build looks into."""
    solved: dict[str, Solved] = field(default_factory=dict)
    """What its steps gave, by their keys."""
    complete: bool = False
    """Whether a cache that is to travel has what is known of stages that did not run, too."""
    materials: list[Material] = field(default_factory=list)
    """What its steps fetched, for its provenance."""
    failed: Vertex | None = None
    """The step that ended the build."""
    begun: set[asyncio.Task[object]] = field(default_factory=set)
    """Runs of steps that use this build's directories, perhaps for another build that waits for the same step."""
    stack: ExitStack = field(default_factory=ExitStack)
    """What is let go when the build ends."""
    began: float = field(default_factory=time.time)
    _directories: list[str] = field(default_factory=list)
    _spread: dict[int, asyncio.Future[str]] = field(default_factory=dict)

    def directory(self) -> str:
        """A new directory for something fetched; it goes when the build ends."""
        path = f"{self.engine.paths.tmp}/build-{token_hex(8)}"
        os.mkdir(path, 0o755)
        self._directories.append(path)
        return path

    async def spread(self, files: FileTree) -> str:
        """The directory of a context, written when it is first asked for; it goes when the build ends."""
        from .context import spread

        if id(files) not in self._spread:
            path = self.directory()
            work = run_in_thread(lambda: spread(files, path))
            self._spread[id(files)] = asyncio.ensure_future(_after(work, path))
        return await asyncio.shield(self._spread[id(files)])

    async def close(self) -> None:
        """Wait for what still reads this build's directories, and remove those that it made."""
        from .removing import remove_tree

        pending: set[asyncio.Future[Any]] = {*self.begun, *self._spread.values()}
        if pending:
            await asyncio.wait(pending)
        self.stack.close()
        for path in self._directories:
            await run_in_thread(lambda path=path: remove_tree(path))  # type: ignore[misc]  # bound at once

    def tell(self, event: BuildEvent) -> None:
        """Pass an event on."""
        self.listener(event)

    @contextmanager
    def showing(self, name: str, step: str = "", *, bare: bool = True) -> Iterator[Callable[[str], None]]:
        """Work beside the graph as a step of its own. What is given tells what has been done of it."""
        step = step or name
        self.tell(StepStarted(step=step, name=name, bare=bare, time=time.time_ns()))
        try:
            yield lambda text: self.tell(StepStatus(step=step, text=text, done=True, time=time.time_ns()))
        except (SampanError, OSError) as error:
            self.tell(StepDone(step=step, error=str(error), time=time.time_ns()))
            raise
        self.tell(StepDone(step=step, time=time.time_ns()))


async def _after(work: Coroutine[object, object, None], path: str) -> str:
    await work
    return path


class Locks:
    """Locks by name, forgotten when nobody holds or waits for them."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def get(self, name: str) -> asyncio.Lock:
        """The lock of that name; keep it while you use it."""
        return self._locks.setdefault(name, asyncio.Lock())


def processors() -> int:
    """How many steps run at once."""
    return max(2, os.cpu_count() or 2)
