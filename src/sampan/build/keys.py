"""What a step's result depends on, part by part: the cache key is a digest of these, an explanation compares them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from ..cas.threads import run_in_thread
from .graph import Copy, Exec, Files, Vertex
from .layering import source_tree
from .result import Result
from .selecting import digest
from .session import Session

Parts = dict[str, str]
"""`parent`, `instruction`, `env:NAME`, `input:N`, `file:PATH` … to a digest or value."""
Chosen = tuple[str, dict[str, str]]
"""What selected files count as, and a digest of each by its path."""


class Inputs(Protocol):
    """What a step's inputs count as, by their number."""

    async def tree(self, number: int) -> str:
        """The whole of one."""
        ...

    async def files(self, number: int, sources: Sequence[str], copy: Copy | None = None) -> Chosen:
        """What a copy or a mount takes of one."""
        ...


@dataclass(frozen=True)
class Common:
    """What counts for steps of a build alike: SOURCE_DATE_EPOCH; for those that run something what they see of hosts,
    ulimits, /dev/shm and the control group, empty where nothing was asked for."""

    epoch: int | None
    surroundings: str


def common(session: Session) -> Common:
    """Of one build."""
    limits = session.limits
    seen = (limits.extra_hosts, limits.ulimits, limits.shm_size, limits.cgroup_parent)
    return Common(session.epoch, msgspec.json.encode(seen).decode() if any(seen) else "")


async def parts_of(vertex: Vertex, inputs: Inputs, shared: Common) -> Parts:
    """All that a step depends on."""
    parts: Parts = {"parent": await inputs.tree(0) if vertex.inputs else ""}
    match vertex.op:
        case Exec() as operation:
            parts |= _exec_parts(vertex, operation)
            if shared.surroundings:
                parts["surroundings"] = shared.surroundings
            for number, mount in enumerate(operation.mounts):
                if mount.input >= 0:
                    chosen = await inputs.files(mount.input, (mount.source or "/",))
                    parts[f"mount:{number}"] = chosen[0]
                    parts |= _file_parts(chosen[1], f"mount:{number}:")
        case Files() as operation:
            for number, action in enumerate(operation.actions):
                parts[f"instruction:{number}"] = msgspec.json.encode(action).decode()
                if isinstance(action, Copy):
                    chosen = await inputs.files(action.input, action.sources, action)
                    parts[f"sources:{number}"] = chosen[0]
                    parts |= _file_parts(chosen[1], "")
        case _:
            parts["instruction"] = vertex.keyed_op.decode()
            parts |= {f"input:{number}": await inputs.tree(number) for number in range(len(vertex.inputs))}
    if shared.epoch is not None:
        parts["SOURCE_DATE_EPOCH"] = str(shared.epoch)
    return parts


def key_of(parts: Parts) -> str:
    """The cache key."""
    value = hashlib.sha256()
    for name, text in sorted(parts.items()):
        value.update(f"{name}\0{text}\n".encode("utf-8", "surrogateescape"))
    return value.hexdigest()


def _exec_parts(vertex: Vertex, operation: Exec) -> Parts:
    plain = msgspec.structs.replace(operation, env=())
    parts = {"instruction": msgspec.json.encode(plain).decode()}
    for pair in operation.env:
        name, _, value = pair.partition("=")
        if name not in vertex.unkeyed:
            parts[f"env:{name}"] = value
    return parts


def _file_parts(files: dict[str, str], prefix: str) -> Parts:
    """Only contexts of a moderate size are kept file by file."""
    return {f"file:{prefix}{path}": value[:16] for path, value in files.items()} if len(files) <= 5000 else {}


class Selections:
    """Digests of what copies and mounts take, each computed once in a build."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._known: dict[tuple[str, tuple[str, ...], tuple[str, ...], bool], Chosen] = {}

    async def of(self, source: Vertex, result: Result, sources: Sequence[str], copy: Copy | None) -> Chosen:
        """What the files of `source`, which gave `result`, count as."""
        exclude, parents = (copy.exclude, copy.parents) if copy is not None else ((), False)
        if result.identity:
            return f"{result.identity} {sources} {exclude}", {}
        place = (source.definition, tuple(sources), exclude, parents)
        if place not in self._known:
            async with source_tree(self._session.engine, result) as tree:
                self._known[place] = await run_in_thread(lambda: digest(tree, sources, exclude, parents=parents))
        return self._known[place]


class Contents:
    """Inputs by what they are: chain IDs of trees, digests of the files that are taken."""

    def __init__(self, vertex: Vertex, results: Sequence[Result], selections: Selections) -> None:
        self._vertex, self._results, self._selections = vertex, results, selections

    async def tree(self, number: int) -> str:
        return self._results[number].chain_id

    async def files(self, number: int, sources: Sequence[str], copy: Copy | None = None) -> Chosen:
        return await self._selections.of(self._vertex.inputs[number], self._results[number], sources, copy)
