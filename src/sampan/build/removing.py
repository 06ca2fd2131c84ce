"""The end of directories that a build made for itself."""

from __future__ import annotations

import os

from ..tree.remove import remove


def remove_tree(path: str) -> None:
    """Remove a directory of the engine's own by fd."""
    parent, _, name = path.rpartition("/")
    directory = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        remove(directory, name)
    finally:
        os.close(directory)
