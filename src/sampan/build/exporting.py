"""An image's file tree as one archive: what `--output type=local` and `type=tar` receive."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from ..engine.engine import Engine
from ..engine.export import in_threads
from ..storage import whole_tree
from .layering import shown
from .result import Result


async def tree(engine: Engine, ref: str) -> AsyncIterator[bytes]:
    """The chunks of a tar of all that the image holds."""
    image = engine.images.get(ref)
    async with shown(engine, Result(image.layers)) as path:
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            async for chunk in in_threads(whole_tree(root)):
                yield chunk
        finally:
            os.close(root)
