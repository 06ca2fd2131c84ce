"""Running a graph: inputs first and in parallel, each distinct step once, cached results instead of work.

A step's key covers its operation and its inputs: the chain ids of trees it runs on, and the digest of exactly those
files that a copy selects. By its definition (definitions.py) one is found without the stages that it copies from. Two
builds that want the same key at the same time share one run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from ..errors import SampanError
from .cache import BuildCache
from .definitions import STEPS, Definitions, Survey, spares
from .explain import differences
from .graph import Scratch, Vertex, walk
from .keys import Contents, Parts, Selections, common, key_of, parts_of
from .progress import BuildEvent, Explained, StepDone, StepStarted
from .result import EMPTY, Result, Solved
from .session import Session, processors

Executor = Callable[[Session, Vertex, Sequence[Result]], Coroutine[object, object, Result]]
Numbers = dict[tuple[str, str], tuple[int, int]]
"""A step's number and how many there are, by its identity."""
Record = tuple[str, Parts]
"""Where a step stands, and what it depends on."""


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
        self, key: str, session: Session, vertex: Vertex, inputs: Sequence[Result], record: Record
    ) -> Result:
        place, parts = record
        result = await self.execute(session, vertex, inputs)
        return replace(result, made=(self.cache.put(key, place, vertex.name, parts, result),))

    async def shared(
        self, key: str, session: Session, vertex: Vertex, inputs: Sequence[Result], record: Record
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
        self._stages = dict(reversed(numbers))
        """Of steps that several stages have the first such stage, as which they are shown."""
        self._selections = Selections(session)
        self._shared = common(session)
        self._definitions = Definitions(self._selections, self._start, self._shared)
        self._survey = Survey(self._definitions, self._made)
        self._tasks: dict[str, asyncio.Task[Result]] = {}
        self._left_out: set[str] = set()
        self._recalled: dict[str, asyncio.Task[Result | None]] = {}
        """What is known of steps that are left out."""
        self._held = ExitStack()

    async def solve(self, tops: Sequence[Vertex]) -> list[Result]:
        try:
            await self._definitions.read(tops)
            self._survey.look(tops)
            results = await asyncio.gather(*[self._start(top) for top in tops])
            await asyncio.gather(*self._recalled.values())
            return results
        finally:
            begun = [*self._tasks.values(), *self._recalled.values()]
            for task in begun:
                task.cancel()
            await asyncio.gather(*begun, return_exceptions=True)
            self._held.close()

    def _made(self, definition: str) -> float | None:
        """When what a key by definition stands for came about, here or elsewhere."""
        made = self._solver.cache.made(definition)
        if made is None and self._session.imports is not None:
            made = self._session.imports.made(definition)
        return made

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
        promised = vertex.definition in self._survey.promised
        needed = vertex.inputs[:1] if promised else vertex.inputs
        inputs = [await task for task in [self._start(below) for below in needed]]
        self._tell_start(vertex)
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

    def _tell_start(self, vertex: Vertex) -> None:
        stage = self._stages.get(vertex.definition, vertex.stage)
        number, total = self._numbers.get((vertex.definition, stage), (0, 0))
        self._session.tell(
            StepStarted(step=vertex.definition, name=vertex.name, stage=stage, number=number, total=total,
                        time=time.time_ns())
        )  # fmt: skip

    async def _result(self, vertex: Vertex, inputs: list[Result]) -> tuple[Result, bool]:
        if not isinstance(vertex.op, STEPS):
            return await self._solver.execute(self._session, vertex, inputs), False
        if len(inputs) < len(vertex.inputs):
            found = await self._by_definition(vertex, inputs[0])
            if found is not None:
                return found, True
            inputs = [await task for task in [self._start(below) for below in vertex.inputs]]
        key, record = await self._record(vertex, inputs)
        found = None if vertex.ignore_cache else await self._found(key, inputs[0], vertex, record)
        self._explain(vertex, record, hit=found is not None)
        result = found or await self._solver.shared(key, self._session, vertex, inputs, record)
        return self._solved(key, vertex, inputs[0], result), found is not None

    async def _record(self, vertex: Vertex, inputs: Sequence[Result]) -> tuple[str, Record]:
        parts = await parts_of(vertex, Contents(vertex, inputs, self._selections), self._shared)
        return key_of(parts), (_place(vertex), parts)

    def _solved(self, key: str, vertex: Vertex, base: Result, result: Result) -> Result:
        """Note what a step gave, by both its keys."""
        definition = self._definitions.key(vertex)
        self._session.solved[key] = Solved(result.layers, result.made[0], definition if spares(vertex) else "")
        if definition:
            self._solver.cache.link(definition, key)
        return _dated(result, base, result.made[0])

    async def _found(self, key: str, base: Result, vertex: Vertex, record: Record) -> Result | None:
        """What is cached here, or what another machine's cache has; from now on it is in ours."""
        found = self._solver.cache.get(key)
        if found is None and self._session.imports is not None:
            found = await self._session.imports.find(self._session, key, base.layers)
            if found is not None:
                place, parts = record
                self._solver.cache.put(key, place, vertex.name, parts, found)
        return found

    async def _by_definition(self, vertex: Vertex, base: Result) -> Result | None:
        """The result of a promised step, if it stands on this tree; then what it took files from is left out."""
        definition = self._definitions.key(vertex)
        key = self._solver.cache.linked(definition)
        if not key and self._session.imports is not None:
            key = self._session.imports.linked(definition)
        record = _place(vertex), self._definitions.parts(vertex) | {"parent": base.chain_id}
        found = await self._found(key, base, vertex, record)
        if found is None or found.layers[: len(base.layers)] != base.layers:
            return None
        if self._session.explain:
            self._session.tell(Explained(step=vertex.definition, hit=True))
        for below in vertex.inputs[1:]:
            self._leave_out(below)
        return self._solved(key, vertex, base, found)

    def _leave_out(self, top: Vertex) -> None:
        """Tell of the steps that need not run, as of cached ones."""
        for vertex in walk(top):
            if not isinstance(vertex.op, STEPS) or self._survey.needs(vertex) or vertex.definition in self._left_out:
                continue
            self._tell_start(vertex)
            self._session.tell(StepDone(step=vertex.definition, cached=True, time=time.time_ns()))
            self._left_out.add(vertex.definition)
            if self._session.complete:
                self._recalled[vertex.definition] = asyncio.ensure_future(self._recall(vertex))

    async def _recall(self, vertex: Vertex) -> Result | None:
        """What is cached of a step that does not run."""
        inputs = []
        for below in vertex.inputs:
            found = await (self._recalled.get(below.definition) or self._start(below))
            if found is None:
                return None
            inputs.append(found)
        key, record = await self._record(vertex, inputs)
        found = await self._found(key, inputs[0], vertex, record)
        if found is None:
            return None
        self._hold(found)
        return self._solved(key, vertex, inputs[0], found)

    def _explain(self, vertex: Vertex, record: Record, *, hit: bool) -> None:
        if self._session.explain:
            place, parts = record
            reasons = () if hit else differences(self._solver.cache.last_parts(place), parts, vertex)
            self._session.tell(Explained(step=vertex.definition, hit=hit, reasons=reasons))


def _place(vertex: Vertex) -> str:
    return f"{vertex.stage}:{vertex.line}:{type(vertex.op).__name__}"


def _dated(result: Result, base: Result, made: float) -> Result:
    """The result with the times of its layers: those of the tree below, then its own."""
    own = len(result.layers) - len(base.layers)
    return replace(result, made=(*base.made, *[made] * own))
