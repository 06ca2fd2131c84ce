"""Base images of a build: found here, or pulled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import InvalidArgument, NotFound
from ..image import variants
from ..image.record import Image
from ..model.progress import Progress, Report
from ..oci import digest as digests
from ..oci import platform as platforms
from ..oci.platform import Platform
from ..registry.config import AuthFor, no_credentials
from .frontend.request import ResolvedImage
from .graph import ImageSource, Vertex
from .progress import StepLog
from .session import Session


class Bases:
    """Resolves names after FROM and `--from=`. `always_pull` asks the registry even where the image is here."""

    def __init__(self, session: Session, *, always_pull: bool = False, auth: AuthFor = no_credentials) -> None:
        self._session = session
        self._engine = session.engine
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

        if _is_id(ref):
            raise NotFound(f"No such image: {ref}")
        first, *others = self._engine.images.short_names.candidates(ref)
        request = PullRequest(first, platform, others=tuple(others), auth_for=self._auth)
        with self._shown(ref, platform) as report:
            (image,) = await pull(self._engine, request, report)
        if platforms.rank(platform, image.config.platform) is None:
            raise InvalidArgument(f"{ref}: no match for platform {platform}")
        return image

    @contextmanager
    def _shown(self, ref: str, platform: Platform) -> Iterator[Report]:
        """A pull as a step of the build; its output are the layers that are there."""
        step, tell = pull_step(ref, platform), self._session.tell

        def report(progress: Progress) -> None:
            if progress.status and (not progress.id or progress.status == "Pull complete"):
                name = f"{progress.id}: " if progress.id else ""
                tell(StepLog(step=step, stream=1, text=f"{name}{progress.status}\n"))

        with self._session.showing(f"pull {ref}", step, bare=False):
            yield report


def pull_step(ref: str, platform: Platform) -> str:
    """The step that a pull is in what is told of a build."""
    return f"pull {ref} {platform}"


def _is_id(ref: str) -> bool:
    return digests.is_digest(ref)
