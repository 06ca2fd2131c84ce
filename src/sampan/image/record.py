"""Values of images as the engine and the API see them."""

from __future__ import annotations

from functools import cached_property

from msgspec import Struct

from ..model.state import NEVER
from ..model.times import instant
from ..oci.config import ImageConfig
from ..oci.reference import Reference
from .layers import Layer


class Image(Struct, frozen=True, dict=True):
    """One image of one platform. `id` is its configuration's digest, `size` the bytes of its layers, unpacked."""

    id: str
    config: ImageConfig
    manifest: str
    layers: tuple[Layer, ...]
    size: int
    parent: str = ""
    tags: tuple[Reference, ...] = ()
    digests: tuple[Reference, ...] = ()
    tagged_at: str = NEVER
    used_at: float = 0.0

    @property
    def chain_ids(self) -> list[str]:
        """Keys of the layers' snapshots, lowest first."""
        return [layer.chain_id for layer in self.layers]

    @property
    def chain_id(self) -> str:
        """Key of the top layer's snapshot; empty for an image without layers."""
        return self.layers[-1].chain_id if self.layers else ""

    @property
    def references(self) -> tuple[Reference, ...]:
        """Tags and digests."""
        return self.tags + self.digests

    @property
    def repo_tags(self) -> list[str]:
        """As in `RepoTags`."""
        return [tag.familiar for tag in self.tags]

    @property
    def repo_digests(self) -> list[str]:
        """As in `RepoDigests`."""
        return [digest.familiar for digest in self.digests]

    @property
    def created(self) -> str:
        """RFC 3339; empty where the configuration names no time."""
        return self.config.created or ""

    @property
    def labels(self) -> dict[str, str]:
        """Those of its configuration."""
        return (self.config.config.labels if self.config.config else None) or {}

    @cached_property
    def created_at(self) -> float:
        """Seconds since the epoch, as integers of the API count; Go's zero time where there is none."""
        return instant(self.created or NEVER) / 1e9


class HistoryLine(Struct, frozen=True):
    """One line of `docker history`, newest first; `created` in whole seconds since the epoch."""

    id: str
    created: int
    created_by: str
    tags: list[str] | None
    size: int
    comment: str


class Deleted(Struct, frozen=True):
    """One record of a removal: `kind` is `untagged` (a familiar reference) or `deleted` (an image or chain ID).

    `image` is the image's ID, for the event; empty of layers and of digests that go with their tag: they have none.
    """

    kind: str
    ref: str
    image: str = ""


class Removal(Struct, frozen=True):
    """What a removal did; `freed` in bytes of unpacked layers, as Docker counts."""

    records: tuple[Deleted, ...] = ()
    freed: int = 0

    def __add__(self, other: Removal) -> Removal:
        return Removal(self.records + other.records, self.freed + other.freed)


class ImageUser(Struct, frozen=True):
    """A container, as far as images are concerned."""

    container_id: str
    image_id: str
    running: bool
