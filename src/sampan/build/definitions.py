"""Keys by definition, and what they spare: a known step needs no stage that it only takes files from.

The key of a `COPY --from` has the content of what is copied (keys.py), which is there once the other stage has run. So
such a step has a second key, of its operation and what its inputs are *defined* to be, down to images, contexts, files
of the web and commits, which count by their content, as in BuildKit. A cache that holds the copy alone
(`mode=min`, inline) then gives its result, and the other stage does not run.

A record found so must stand on the very tree that this build has below the step, and must not be older than any known
run of the steps that it takes files from: who runs such a step again gets the new files.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from ..errors import SampanError
from .graph import Copy, Exec, Files, ImageSource, Merge, Scratch, Vertex, walk
from .keys import Chosen, Common, Parts, Selections, key_of, parts_of
from .result import Result

STEPS = (Exec, Files, Merge)
"""Operations whose results are cached; what others give is looked up or fetched, and counts by its content."""


def spares(vertex: Vertex) -> bool:
    """Whether there is anything that a hit by definition would spare: steps beside those that its tree stands on."""
    return any(isinstance(one.op, STEPS) for below in vertex.inputs[1:] for one in walk(below))


class Definitions:
    """The keys of one build's graph. `start` gives the results of sources."""

    def __init__(self, selections: Selections, start: Callable[[Vertex], Awaitable[Result]], shared: Common) -> None:
        self._selections, self._start, self._shared = selections, start, shared
        self._parts: dict[str, Parts] = {}
        self._keys: dict[str, str] = {}

    async def read(self, tops: Sequence[Vertex]) -> None:
        """Compute them. A source that fails leaves those that stand on it without."""
        vertices = [vertex for top in tops for vertex in walk(top)]
        for vertex in vertices:
            if not isinstance(vertex.op, (*STEPS, Scratch)):
                self._start(vertex)  # all at once
        for vertex in vertices:
            if isinstance(vertex.op, STEPS) and vertex.definition not in self._keys:
                await self._add(vertex)

    async def _add(self, vertex: Vertex) -> None:
        try:
            parts = await parts_of(vertex, _Defined(vertex, self, self._selections), self._shared)
        except (SampanError, OSError):
            return  # the step itself will say so
        self._parts[vertex.definition] = parts
        self._keys[vertex.definition] = key_of(parts | {"by": "definition"})

    def key(self, vertex: Vertex) -> str:
        """The key of a step; empty where it has none."""
        return self._keys.get(vertex.definition, "")

    def parts(self, vertex: Vertex) -> Parts:
        """What went into it."""
        return self._parts[vertex.definition]

    async def source(self, vertex: Vertex) -> Result:
        """What a source gives."""
        return await self._start(vertex)


class _Defined:
    """Inputs by what they are defined to be."""

    def __init__(self, vertex: Vertex, definitions: Definitions, selections: Selections) -> None:
        self._vertex, self._definitions, self._selections = vertex, definitions, selections

    async def tree(self, number: int) -> str:
        below = self._vertex.inputs[number]
        if isinstance(below.op, Scratch):
            return ""
        if isinstance(below.op, STEPS):
            key = self._definitions.key(below)
            if not key:
                raise SampanError(f"{below.name} has no key")
            return key
        return (await self._definitions.source(below)).chain_id

    async def files(self, number: int, sources: Sequence[str], copy: Copy | None = None) -> Chosen:
        below = self._vertex.inputs[number]
        if isinstance(below.op, (*STEPS, Scratch, ImageSource)):
            return f"{await self.tree(number)} {sources}", {}
        return await self._selections.of(below, await self._definitions.source(below), sources, copy)


class Survey:
    """Which steps are to run or to be found, before any does. `made` says when a result of a key came about."""

    def __init__(self, definitions: Definitions, made: Callable[[str], float | None]) -> None:
        self._definitions, self._made = definitions, made
        self._needed: dict[str, Vertex] = {}
        self.promised: set[str] = set()
        """Definitions of steps that are known by definition: what they take files from is left out."""

    def look(self, tops: Sequence[Vertex]) -> None:
        """From the top down."""
        pending = list(tops)
        while pending:
            vertex = pending.pop()
            if vertex.definition in self._needed:
                continue
            self._needed[vertex.definition] = vertex
            if self._is_promised(vertex):
                self.promised.add(vertex.definition)
                pending += vertex.inputs[:1]
            else:
                pending += vertex.inputs

    def needs(self, vertex: Vertex) -> bool:
        """Whether a step is asked for by one that was not known."""
        return vertex.definition in self._needed

    def _is_promised(self, vertex: Vertex) -> bool:
        if vertex.fresh or not spares(vertex):
            return False
        made = self._made(self._definitions.key(vertex))
        sources = (one for below in vertex.inputs[1:] for one in walk(below) if isinstance(one.op, STEPS))
        return made is not None and all((self._made(self._definitions.key(one)) or 0.0) <= made for one in sources)
