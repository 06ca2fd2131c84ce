"""Executors of file operations and merges."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from ..cas.threads import run_in_thread
from ..image.layers import Layer
from .graph import Copy, Files, Vertex
from .layering import growing, shown, source_tree
from .planning import LayerMembers, PlannedLayer, Unplanned
from .result import Result
from .session import Session
from .sources import SourceTree
from .targets import DiskTarget
from .writing import Target, Writer

Sources = Mapping[int, SourceTree]


async def copy_files(session: Session, vertex: Vertex, inputs: Sequence[Result]) -> Result:
    """Run a vertex's file actions as one layer upon input 0."""
    operation = vertex.op
    assert isinstance(operation, Files)
    async with AsyncExitStack() as stack:
        sources: dict[int, SourceTree] = {}
        for action in operation.actions:
            if isinstance(action, Copy) and action.input not in sources:
                sources[action.input] = await stack.enter_async_context(
                    source_tree(session.engine, inputs[action.input])
                )
        try:
            return await make_planned(session, operation, inputs[0], sources)
        except Unplanned:
            return await make_mounted(session, operation, inputs[0], sources)
    raise AssertionError("not reached")


async def make_planned(session: Session, operation: Files, base: Result, sources: Sources) -> Result:
    """The layer, of which all is known before anything is written; Unplanned where that is not so."""
    images, stored = session.engine.images, list[str]()
    async with AsyncExitStack() as stack:
        path = await stack.enter_async_context(shown(session.engine, base)) if base.layers else ""
        planned = stack.enter_context(PlannedLayer(path))
        await run_in_thread(lambda: _apply(operation, planned, sources))
        try:
            made = await images.layers.make(
                lambda archive: LayerMembers(planned, archive, session.epoch), base.chain_id or None, stored.append
            )
        except BaseException:
            images.release((), stored)
            raise
        return Result((*base.layers, made))
    raise AssertionError("not reached")


async def make_mounted(session: Session, operation: Files, base: Result, sources: Sources) -> Result:
    """The layer by changing a mounted tree and reading what has changed: it takes any action."""
    async with growing(session.engine, base) as tree:
        await run_in_thread(lambda: _change(operation, tree.path, sources))
        return await tree.finish(session.epoch)
    raise AssertionError("not reached")


def _apply(operation: Files, target: Target, sources: Sources) -> None:
    writer = Writer(target, sources.__getitem__)
    for action in operation.actions:
        writer.apply(action)


def _change(operation: Files, path: str, sources: Sources) -> None:
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _apply(operation, DiskTarget(root, path), sources)
    finally:
        os.close(root)


async def merge(session: Session, vertex: Vertex, inputs: Sequence[Result]) -> Result:
    """The layers of further inputs unpacked upon the first's, their blobs unchanged (COPY --link)."""
    base = inputs[0]
    for other in inputs[1:]:
        for layer in other.layers:
            base = Result((*base.layers, await _upon(session, base, layer)))
    return base


async def _upon(session: Session, base: Result, layer: Layer) -> Layer:
    engine = session.engine
    with engine.store.open(layer.descriptor.digest) as blob:
        return await engine.images.layers.unpack(blob, layer.descriptor, layer.diff_id, base.chain_id or None)
