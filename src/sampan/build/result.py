"""What a vertex gives: a stack of layers, or a plain directory of files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..image.layers import Layer
from .filetree import FileTree


@dataclass(frozen=True)
class Result:
    """`layers`, lowest first; or a tree that lies outside the snapshots: `directory`, a path, or `files` (a context).

    `made`: when each layer came about, in seconds since the epoch, for the topmost layers that this builder made.
    """

    layers: tuple[Layer, ...] = ()
    directory: str = ""
    files: FileTree | None = None
    made: tuple[float, ...] = ()
    identity: str = ""
    """What a directory is by its origin (a commit), where that says more than its files do."""

    @property
    def chain_id(self) -> str:
        """The key of the top snapshot; empty for the empty tree."""
        return self.layers[-1].chain_id if self.layers else ""


class Solved(NamedTuple):
    """What a step gave, for a cache that is to travel: its layers, lowest first; `made` in seconds since the epoch."""

    layers: tuple[Layer, ...]
    made: float
    definition: str = ""
    """Its key by definition, where that is of use."""


EMPTY = Result()
