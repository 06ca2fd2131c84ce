"""Keeps the blob store's index.json in step with the images (image/layoutindex.py)."""

from __future__ import annotations

import asyncio
import os

from ..image import layoutindex
from ..image.images import Images

SECONDS = 1.0
"""One write for a burst of changes."""


class ImageIndex:
    """Writes a moment after the first change; `settle` at once."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._due: asyncio.TimerHandle | None = None
        images.on_change = self._changed

    def begin(self) -> None:
        """Make the file where an older version kept none."""
        if not os.path.exists(self._images.store.index_path):
            self._changed()

    def _changed(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(SECONDS, self.settle)

    def settle(self) -> None:
        """Write what is due."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
            layoutindex.write(self._images)
