"""What a build tells its client: our events as BuildKit's vertices, statuses, logs and warnings.

A vertex is told again whenever something about it changes; its client knows it by its digest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from ..build.graph import LocalSource
from ..build.graph import Vertex as GraphVertex
from ..build.progress import (
    LOG_CLIPPED,
    LOG_LIMIT,
    BuildEvent,
    Failed,
    StepDone,
    StepLog,
    StepStarted,
    StepStatus,
    Warned,
)
from ..errors import InvalidArgument, SampanError
from ..oci import digest as digests
from ..oci import reference
from .proto.control_pb2 import StatusResponse, Vertex, VertexStatus, VertexWarning
from .proto.ops_pb2 import Position, Range, SourceInfo
from .rules import described, page

_CONTEXT = "load build context"
_COPIES = ("COPY ", "ADD ")
_DEFINITION = 64
"""Digits of a vertex's definition; steps beside the graph have names."""


class StatusLog:
    """All that a build has told, for whoever follows it, from its beginning to its end."""

    def __init__(self) -> None:
        self.told: list[StatusResponse] = []
        self.size = 0
        """Octets of all that."""
        self._more = asyncio.Event()
        self._ended = False

    @property
    def vertices(self) -> list[Vertex]:
        """All steps that were told of, as they were told last."""
        return list({one.digest: one for response in self.told for one in response.vertexes}.values())

    def tell(self, response: StatusResponse) -> None:
        """Pass it on to all that follow."""
        self.told.append(response)
        self.size += response.ByteSize()
        self._wake()

    def end(self) -> None:
        """Nothing more will be told."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        self._more.set()
        self._more = asyncio.Event()

    async def follow(self) -> AsyncIterator[StatusResponse]:
        """What was told, then what is told, until the end."""
        number = 0
        while True:
            while number < len(self.told):
                yield self.told[number]
                number += 1
            if self._ended:
                return
            await self._more.wait()


class Step:
    """A vertex of the daemon's own: what the front end and the exporters do."""

    def __init__(self, log: StatusLog, name: str, digest: str) -> None:
        self._log = log
        self._started: dict[str, int] = {}
        self.vertex = Vertex(digest=digest, name=name)

    def show(self, text: str, current: int = 0, total: int = 0, *, done: bool = False) -> None:
        """A line below the step: how far something is, in bytes where there is something to count."""
        now = time.time_ns()
        status = VertexStatus(ID=text, vertex=self.vertex.digest, current=current, total=total)
        if text.startswith("transferring "):
            status.name = "transferring"
        status.started.FromNanoseconds(self._started.setdefault(text, now))
        status.timestamp.FromNanoseconds(now)
        if done:
            status.completed.FromNanoseconds(now)
        self._log.tell(StatusResponse(statuses=[status]))

    def tell(self) -> None:
        """Tell the vertex as it now is."""
        self._log.tell(StatusResponse(vertexes=[self.vertex]))


class Progress:
    """A listener of the builder. `source` is the Dockerfile once it has been read, `definition` the step that read it.

    `build` tells steps of one build from those of another that only seem to be the same.
    """

    def __init__(self, log: StatusLog, build: str) -> None:
        self.source = SourceInfo()
        self.definition = ""
        self.failed_line = 0
        self.warnings = 0
        self._log = log
        self._build = build
        self._vertices: dict[str, Vertex] = {}
        self._joined: dict[str, str] = {}
        self._bases: dict[str, str] = {}
        self._pulled: set[str] = set()
        self._names: set[str] = set()
        self._said: dict[str, int] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Show what the block does as a step; an error within is the step's."""
        step = Step(self._log, name, self._own(name))
        step.vertex.started.GetCurrentTime()
        step.tell()
        try:
            yield step
        except (SampanError, OSError) as error:
            step.vertex.error = str(error)
            raise
        finally:
            step.vertex.completed.GetCurrentTime()
            step.tell()

    def context_step(self, name: str) -> Step:
        """The step that fetches a context, which the builder begins and ends."""
        return Step(self._log, "", self._digest(GraphVertex(op=LocalSource(name)).definition))

    def join(self, step: str, other: Step) -> None:
        """Show what is told of one of the builder's steps as that of another."""
        self._joined[step] = other.vertex.digest

    def _own(self, text: str) -> str:
        return digests.of_bytes(f"{self._build}\0{text}".encode())

    def _digest(self, step: str) -> str:
        """Definitions of vertices are hexadecimal SHA-256 already."""
        if step in self._joined:
            return self._joined[step]
        return f"sha256:{step}" if len(step) == _DEFINITION else self._own(step)

    def warn(self, warning: VertexWarning) -> None:
        """Tell of what is no mistake but may be one."""
        self.warnings += 1
        self._log.tell(StatusResponse(warnings=[warning]))

    def __call__(self, event: BuildEvent) -> None:
        """Pass an event on."""
        match event:
            case StepStarted():
                self._start(event)
            case StepStatus():
                self._show(event)
            case StepLog():
                self._say(event)
            case StepDone():
                self._end(event)
            case Warned():
                self._warn(event)
            case Failed():
                self.failed_line = event.line

    def _start(self, event: StepStarted) -> None:
        if event.step in self._joined:
            self._pulled.add(event.name.removeprefix("pull "))
            return
        if event.name.startswith("FROM "):
            self._bases[event.step] = event.name.removeprefix("FROM ")
        if not event.number and event.name in self._names and event.name.startswith(_COPIES):
            return  # COPY --link: files of their own, then the merge
        self._names.add(event.name)
        vertex = self._vertices[event.step] = Vertex(digest=self._digest(event.step), name=shown_name(event))
        vertex.started.FromNanoseconds(event.time)
        self._log.tell(StatusResponse(vertexes=[vertex]))

    def _show(self, event: StepStatus) -> None:
        status = VertexStatus(ID=event.text, vertex=self._digest(event.step))
        for moment in (status.started, status.timestamp, *([status.completed] if event.done else [])):
            moment.FromNanoseconds(event.time)
        self._log.tell(StatusResponse(statuses=[status]))

    def _say(self, event: StepLog) -> None:
        text = self._clipped(event.step, _octets(event.text))
        if text:
            response = StatusResponse()
            entry = response.logs.add(vertex=self._digest(event.step), stream=event.stream, msg=text)
            entry.timestamp.GetCurrentTime()
            self._log.tell(response)

    def _clipped(self, step: str, text: bytes) -> bytes:
        """What a step may still say: all of it is kept for whoever asks later."""
        said = self._said.get(step, 0)
        self._said[step] = said + len(text)
        if said + len(text) <= LOG_LIMIT:
            return text
        return text[: LOG_LIMIT - said] + LOG_CLIPPED.encode() if said <= LOG_LIMIT else b""

    def _end(self, event: StepDone) -> None:
        vertex = self._vertices.get(event.step)
        if vertex is None:
            return
        here = event.step in self._bases and self._bases[event.step] not in self._pulled
        vertex.cached, vertex.error = event.cached or here, event.error
        vertex.completed.FromNanoseconds(event.time)
        self._log.tell(StatusResponse(vertexes=[vertex]))

    def _warn(self, event: Warned) -> None:
        warning = VertexWarning(vertex=self.definition, level=1)
        if event.rule:
            warning.short = f"{event.rule}: {event.text} (line {event.line})".encode()
            warning.detail.append(described(event.rule).encode())
            warning.url = page(event.rule)
            warning.info.CopyFrom(self.source)
            warning.ranges.append(line_range(event.line))
        else:
            warning.short = event.text.encode()
        self.warn(warning)


def line_range(line: int) -> Range:
    """One line of a file."""
    return Range(start=Position(line=line), end=Position(line=line))


def shown_name(event: StepStarted) -> str:
    """A step as BuildKit calls it: `[stage 2/5] RUN …`, `[internal] load build context`, `[stage] …`."""
    name = event.name
    if event.name.startswith("FROM "):
        name = f"FROM {_full_name(event.name.removeprefix('FROM '))}"
    if event.number:
        return numbered(event.stage, event.number, event.total, name)
    if event.name == _CONTEXT:
        return f"[internal] {_CONTEXT}"
    if event.name.startswith(_CONTEXT):
        return f"[context {event.name.removeprefix(_CONTEXT).strip()}] load from client"
    return f"[{event.stage}] {name}" if event.stage else name


def numbered(stage: str, number: int, total: int, name: str) -> str:
    """A step of a stage."""
    place = f"{str(number).rjust(len(str(total)))}/{total}"
    return f"[{stage} {place}] {name}" if stage else f"[{place}] {name}"


def _full_name(ref: str) -> str:
    try:
        return str(reference.parse(ref).with_default_tag())
    except InvalidArgument:
        return ref


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
