"""Executors of file operations and merges."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from ..cas.threads import run_in_thread
from ..image.layers import Layer
from .graph import Copy, Files, Vertex
from .layering import growing, source_tree
from .result import Result
from .session import Session
from .sources import SourceTree
from .writing import Tree, Writer


async def copy_files(session: Session, vertex: Vertex, inputs: Sequence[Result]) -> Result:
    """Run a vertex's file actions as one layer upon input 0."""
    operation = vertex.op
    assert isinstance(operation, Files)
    async with AsyncExitStack() as stack:
        tree = await stack.enter_async_context(growing(session.engine, inputs[0]))
        sources: dict[int, SourceTree] = {}
        for action in operation.actions:
            if isinstance(action, Copy) and action.input not in sources:
                sources[action.input] = await stack.enter_async_context(
                    source_tree(session.engine, inputs[action.input])
                )
        await run_in_thread(lambda: _apply(operation, tree.path, sources))
        return await tree.finish(session.epoch)
    raise AssertionError("not reached")


def _apply(operation: Files, target: str, sources: Mapping[int, SourceTree]) -> None:
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        writer = Writer(Tree(root, target), sources.__getitem__)
        for action in operation.actions:
            writer.apply(action)
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
