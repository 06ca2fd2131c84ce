"""`--squash`: the layers that a build has made become one, without what a later one of them removed."""

from __future__ import annotations

import os

from ..cas.compression import Decompressed
from ..cas.threads import run_in_thread
from ..engine.engine import Engine
from ..image.layers import Layer
from ..tree.extract import ExtractOptions, Whiteouts, extract
from .layering import growing
from .result import Result


async def squash(engine: Engine, result: Result, below: int, epoch: int | None) -> Result:
    """The same tree as `result` in one layer above its lowest `below` ones."""
    async with growing(engine, Result(result.layers[:below])) as tree:
        for layer in result.layers[below:]:
            await run_in_thread(lambda layer=layer: _lay(engine, tree.path, layer))  # type: ignore[misc] # bound at once
        return await tree.finish(epoch)
    raise AssertionError("not reached")


def _lay(engine: Engine, path: str, layer: Layer) -> None:
    """Unpack a layer into a tree, removing what it removes."""
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with engine.store.open(layer.descriptor.digest) as blob:
            extract(root, Decompressed(blob), ExtractOptions(Whiteouts.DELETE, own_root=True))
    finally:
        os.close(root)
