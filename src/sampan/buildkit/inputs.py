"""Trees that one build takes from another, and what a build wants of its contexts.

What a front end gives has a name (`Ref`). Its definition, which clients pass on to other builds (bake's linked
targets), is an operation with that name: the graph itself stays here.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from ..build.builder import numbers_of
from ..build.frontend.request import Target
from ..build.graph import Copy, Exec, Files, LocalSource, Vertex, walk
from ..build.session import Context
from ..oci import digest as digests
from .llbfiles import operation_of
from .proto.ops_pb2 import Definition, Input, Op, OpMetadata, SourceOp, Sources
from .proto.ops_pb2 import Platform as PlatformMessage
from .solves import Ref, Solve, solves_of
from .status import numbered

SCHEME: Final = "sampan-ref://"


@dataclass(frozen=True)
class Given:
    """What another build gives, and the contexts that its steps copy from, under the names that the graph has."""

    target: Target
    contexts: dict[str, Context]


def definition_of(ref: Ref) -> Definition:
    """A graph that stands for a tree of ours."""
    platform = ref.target.platform
    named = Op(
        source=SourceOp(identifier=SCHEME + ref.id),
        platform=PlatformMessage(OS=platform.os, Architecture=platform.architecture, Variant=platform.variant),
    ).SerializeToString(deterministic=True)
    digest = digests.of_bytes(named)
    top = Op(inputs=[Input(digest=digest)]).SerializeToString(deterministic=True)
    described = OpMetadata(caps={"platform": True})
    return Definition(
        operations=[named, top], metadata={digest: described, digests.of_bytes(top): described}, source=Sources()
    )


def named_ref(definition: Definition) -> str:
    """The name of the tree of ours that a graph stands for; empty for a graph of the client's own."""
    first = operation_of(definition.operations[0]) if len(definition.operations) == 2 else Op()
    return first.source.identifier.removeprefix(SCHEME) if first.source.identifier.startswith(SCHEME) else ""


def taken(solve: Solve, name: str) -> Given:
    """A tree that another build made, or is to make."""
    other, ref = solves_of(solve.engine).ref(name)
    solve.use(other)
    target = msgspec.structs.replace(ref.target, vertex=_numbered(ref.target.vertex))
    return Given(target, dict(ref.contexts))


def _numbered(top: Vertex) -> Vertex:
    """The same graph with names that have the numbers of the build that it comes from."""
    numbers, done = numbers_of(top), dict[tuple[str, str], Vertex]()
    for vertex in walk(top):  # inputs first
        name, number = vertex.name, numbers.get(vertex.identity)
        if number is not None:
            name = numbered(vertex.stage, *number, name)
        below = tuple(done[one.identity] for one in vertex.inputs)
        done[vertex.identity] = msgspec.structs.replace(vertex, inputs=below, name=name, line=0, stage="")
    return done[top.identity]


def wanted_paths(targets: Sequence[Target], name: str) -> list[str]:
    """What the steps read of a context; empty for all of it."""
    paths = {_clean(path) for target in targets for vertex in walk(target.vertex) for path in _read(vertex, name)}
    return [] if "" in paths else sorted(paths)


def _read(vertex: Vertex, name: str) -> Iterator[str]:
    numbers = {number for number, one in enumerate(vertex.inputs) if one.op == LocalSource(name)}
    if not numbers:
        return
    match vertex.op:
        case Files(actions):
            for action in actions:
                if isinstance(action, Copy) and action.input in numbers:
                    yield from action.sources
        case Exec(mounts=mounts):
            yield from (mount.source for mount in mounts if mount.input in numbers)
        case _:
            yield ""
    if 0 in numbers:
        yield ""  # the tree itself


def _clean(path: str) -> str:
    return posixpath.normpath(f"/{path}").lstrip("/")
