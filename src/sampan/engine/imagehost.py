"""What the use cases of images need of an engine; `Engine` has it, and so has a test without containers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..image.images import Images
from ..image.record import Image, ImageUser
from ..paths import Paths
from .registries import Registries


class ImageHost(Protocol):
    """The parts of an engine that images use."""

    @property
    def images(self) -> Images: ...
    @property
    def paths(self) -> Paths: ...

    @property
    def registries(self) -> Registries: ...

    def image_users(self) -> Iterable[ImageUser]:
        """Every container, with the image that it was made from."""
        ...

    def publish_image(self, action: str, actor: str, attributes: dict[str, str]) -> None:
        """Publish an event of type `image`."""
        ...


def image_event(host: ImageHost, action: str, image: Image, name: str = "") -> None:
    """Publish an event about an image, with its labels and its name as Docker does."""
    host.publish_image(action, image.id, {**image.labels, "name": name or image.id})
