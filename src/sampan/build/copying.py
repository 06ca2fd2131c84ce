"""Executors of file operations and merges."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack

from ..image.layers import Layer
from .graph import Copy, Files, Vertex
from .layering import growing, shown
from .result import Result
from .session import Session
from .writing import Tree, Writer


async def copy_files(session: Session, vertex: Vertex, inputs: Sequence[Result]) -> Result:
    """Run a vertex's file actions as one layer upon input 0."""
    operation = vertex.op
    assert isinstance(operation, Files)
    async with AsyncExitStack() as stack:
        tree = await stack.enter_async_context(growing(session.engine, inputs[0]))
        paths: dict[int, str] = {}
        for action in operation.actions:
            if isinstance(action, Copy) and action.input not in paths:
                paths[action.input] = await stack.enter_async_context(shown(session.engine, inputs[action.input]))
        await asyncio.to_thread(_apply, operation, tree.path, paths, inputs)
        return await tree.finish(session.epoch)
    raise AssertionError("not reached")


def _apply(operation: Files, target: str, paths: dict[int, str], inputs: Sequence[Result]) -> None:
    opened: list[int] = []

    def tree(path: str, *, keep_owner: bool) -> Tree:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        opened.append(fd)
        return Tree(fd, path, keep_owner)

    try:
        sources = {number: tree(path, keep_owner=not inputs[number].directory) for number, path in paths.items()}
        writer = Writer(tree(target, keep_owner=True), sources.__getitem__)
        for action in operation.actions:
            writer.apply(action)
    finally:
        for fd in opened:
            os.close(fd)


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
