"""Base images of a build: found here, or pulled."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import InvalidArgument, NotFound
from ..image import variants
from ..image.record import Image
from ..oci import digest as digests
from ..oci import platform as platforms
from ..oci.platform import Platform
from ..registry.config import ANONYMOUS, AuthConfig
from .frontend.request import ResolvedImage
from .graph import ImageSource, Vertex

if TYPE_CHECKING:
    from ..engine.engine import Engine

AuthFor = Callable[[str], AuthConfig]
"""Credentials by registry host, from the request's X-Registry-Config."""


def no_credentials(_: str) -> AuthConfig:
    """For callers that have none."""
    return ANONYMOUS


class Bases:
    """Resolves names after FROM and `--from=`. `always_pull` asks the registry even where the image is here."""

    def __init__(self, engine: Engine, *, always_pull: bool = False, auth: AuthFor = no_credentials) -> None:
        self._engine = engine
        self._always_pull = always_pull
        self._auth = auth

    async def resolve(self, ref: str, platform: Platform) -> ResolvedImage:
        """The image, pinned by its ID; NotFound or the registry's refusal in Docker's words."""
        image = None if self._always_pull and not _is_id(ref) else self._local(ref, platform)
        if image is None:
            image = await self._pull(ref, platform)
        source = ImageSource(ref, platform, image.id)
        return ResolvedImage(Vertex(op=source, name=f"FROM {ref}"), image.config)

    def _local(self, ref: str, platform: Platform) -> Image | None:
        """The best that is here: what the name stands for, or another platform of the same index."""
        images = self._engine.images
        try:
            image = images.get(ref)
        except NotFound:
            return None
        choices = [image, *(images.by_id(other) for other in variants.siblings(images, image.id))]
        ranked = [(found, choice) for choice in choices
                  if (found := platforms.rank(platform, choice.config.platform)) is not None]  # fmt: skip
        return min(ranked, key=lambda pair: pair[0])[1] if ranked else None

    async def _pull(self, ref: str, platform: Platform) -> Image:
        from ..engine.pull import PullRequest, pull  # the registry client costs memory until it is needed
        from ..model.progress import ignore

        if _is_id(ref):
            raise NotFound(f"No such image: {ref}")
        first, *others = self._engine.images.short_names.candidates(ref)
        request = PullRequest(first, platform, others=tuple(others), auth_for=self._auth)
        (image,) = await pull(self._engine, request, ignore)
        if platforms.rank(platform, image.config.platform) is None:
            raise InvalidArgument(f"{ref}: no match for platform {platform}")
        return image


def _is_id(ref: str) -> bool:
    return digests.is_digest(ref)
