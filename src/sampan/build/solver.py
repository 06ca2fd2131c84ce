"""Running a graph: inputs first and in parallel, each distinct step once, cached results instead of work.

A step's key covers its operation and its inputs: the chain ids of trees it runs on, and the digest of exactly those
files that a copy selects. Two builds that want the same key at the same time share one run.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from ..errors import SampanError
from .cache import BuildCache
from .explain import differences
from .graph import Exec, Files, Merge, Scratch, Vertex
from .keys import Parts, parts_of
from .progress import BuildEvent, Explained, StepDone, StepStarted
from .result import EMPTY, Result
from .session import Session, processors

Executor = Callable[[Session, Vertex, Sequence[Result]], Coroutine[object, object, Result]]
Numbers = dict[tuple[str, str], tuple[int, int]]
"""A step's number and how many there are, by its identity."""
_CACHED = (Exec, Files, Merge)
"""What others give is looked up or fetched, and counts by its content."""


class Solver:
    """Shared by all builds of an engine: `running` holds the steps that are under way, by key."""

    def __init__(self, cache: BuildCache, executors: Mapping[type, Executor]) -> None:
        self.cache = cache
        self._executors = executors
        self._running: dict[str, _Shared] = {}
        self._places = asyncio.Semaphore(processors())

    async def solve(self, session: Session, tops: Sequence[Vertex], numbers: Numbers) -> list[Result]:
        """The results of some vertices; what they share runs once.

        `numbers` gives a step's number and how many there are, for progress.
        """
        return await _Run(self, session, numbers).solve(tops)

    async def _kept(
        self, key: str, session: Session, vertex: Vertex, inputs: Sequence[Result], record: tuple[str, Parts]
    ) -> Result:
        place, parts = record
        result = await self.execute(session, vertex, inputs)
        return replace(result, made=(self.cache.put(key, place, vertex.name, parts, result),))

    async def shared(
        self, key: str, session: Session, vertex: Vertex, inputs: Sequence[Result], record: tuple[str, Parts]
    ) -> Result:
        """Join the run of a key that is under way, or begin it. It is cancelled when its last user is."""
        run = self._running.get(key)
        if run is None:
            run = self._running[key] = _Shared()
            run.begin(self._kept(key, replace(session, listener=run.tell), vertex, inputs, record))
            session.begun.add(run.task)
            run.task.add_done_callback(lambda _: self._running.pop(key, None))
            run.task.add_done_callback(session.begun.discard)
        return await run.join(session)

    async def execute(self, session: Session, vertex: Vertex, inputs: Sequence[Result]) -> Result:
        """Do the work of a step."""
        async with self._places:
            return await self._executors[type(vertex.op)](session, vertex, inputs)


class _Shared:
    """One run of a step and the builds that wait for it; each sees its output from when it joined."""

    task: asyncio.Task[Result]

    def __init__(self) -> None:
        self._users: list[Session] = []

    def begin(self, work: Coroutine[object, object, Result]) -> None:
        self.task = asyncio.ensure_future(work)

    def tell(self, event: BuildEvent) -> None:
        for session in self._users:
            session.tell(event)

    async def join(self, session: Session) -> Result:
        """Its result; the last user that gives up cancels it and waits until it has undone its work."""
        self._users.append(session)
        try:
            return await asyncio.shield(self.task)
        finally:
            self._users.remove(session)
            if not self._users and not self.task.done():
                self.task.cancel()
                await asyncio.wait({self.task})


class _Run:
    """One build's walk over its graph."""

    def __init__(self, solver: Solver, session: Session, numbers: Numbers) -> None:
        self._solver = solver
        self._session = session
        self._numbers = numbers
        self._tasks: dict[str, asyncio.Task[Result]] = {}
        self._held = ExitStack()

    async def solve(self, tops: Sequence[Vertex]) -> list[Result]:
        try:
            return await asyncio.gather(*[self._start(top) for top in tops])
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._held.close()

    def _hold(self, result: Result) -> None:
        """Images may be removed and the cache pruned while this build stands on their layers."""
        keys = [key for layer in result.layers for key in (layer.chain_id, layer.descriptor.digest)]
        self._held.enter_context(self._session.engine.images.hold(keys))

    def _start(self, vertex: Vertex) -> asyncio.Task[Result]:
        """The task of a vertex; equal vertices share it."""
        task = self._tasks.get(vertex.definition)
        if task is None:
            task = self._tasks[vertex.definition] = asyncio.ensure_future(self._step(vertex))
        return task

    async def _step(self, vertex: Vertex) -> Result:
        if isinstance(vertex.op, Scratch):
            return EMPTY
        inputs = [await task for task in [self._start(below) for below in vertex.inputs]]
        number, total = self._numbers.get(vertex.identity, (0, 0))
        self._session.tell(
            StepStarted(step=vertex.definition, name=vertex.name, stage=vertex.stage, number=number, total=total,
                        time=time.time_ns())
        )  # fmt: skip
        try:
            result, cached = await self._result(vertex, inputs)
        except (SampanError, OSError) as error:
            self._session.failed = self._session.failed or vertex
            self._session.tell(StepDone(step=vertex.definition, error=str(error), time=time.time_ns()))
            if isinstance(error, OSError):
                raise SampanError(f"{vertex.name}: {error}") from error
            raise
        self._hold(result)
        self._session.tell(StepDone(step=vertex.definition, cached=cached, time=time.time_ns()))
        return result

    async def _result(self, vertex: Vertex, inputs: list[Result]) -> tuple[Result, bool]:
        if not isinstance(vertex.op, _CACHED):
            return await self._solver.execute(self._session, vertex, inputs), False
        parts = await parts_of(self._session, vertex, inputs)
        key = _digest(parts)
        place = f"{vertex.stage}:{vertex.line}:{type(vertex.op).__name__}"
        found = None
        if not vertex.ignore_cache:
            found = self._solver.cache.get(key) or await self._imported(key, vertex, inputs, (place, parts))
        self._explain(vertex, place, parts, hit=found is not None)
        result = found or await self._solver.shared(key, self._session, vertex, inputs, (place, parts))
        self._session.solved[key] = result.layers, result.made[0]
        return _dated(result, inputs, result.made[0]), found is not None

    async def _imported(
        self, key: str, vertex: Vertex, inputs: Sequence[Result], record: tuple[str, Parts]
    ) -> Result | None:
        """What another machine's cache has; from now on it is in ours."""
        if self._session.imports is None:
            return None
        found = await self._session.imports.find(self._session, key, inputs[0].layers)
        if found is not None:
            place, parts = record
            self._solver.cache.put(key, place, vertex.name, parts, found)
        return found

    def _explain(self, vertex: Vertex, place: str, parts: Parts, *, hit: bool) -> None:
        if self._session.explain:
            reasons = () if hit else differences(self._solver.cache.last_parts(place), parts, vertex)
            self._session.tell(Explained(step=vertex.definition, hit=hit, reasons=reasons))


def _dated(result: Result, inputs: Sequence[Result], made: float) -> Result:
    """The result with the times of its layers: those of the tree below, then its own."""
    own = len(result.layers) - len(inputs[0].layers)
    return replace(result, made=(*inputs[0].made, *[made] * own))


def _digest(parts: Parts) -> str:
    value = hashlib.sha256()
    for name, text in sorted(parts.items()):
        value.update(f"{name}\0{text}\n".encode("utf-8", "surrogateescape"))
    return value.hexdigest()
