"""What a user asks of the front end, and what it gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct, field

from ...errors import InvalidArgument
from ...oci import reference
from ...oci.config import ExecutionConfig, ImageConfig
from ...oci.platform import Platform
from ..graph import Vertex
from ..progress import PlannedStep

PROXIES = frozenset(
    name
    for base in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (base, base.lower())
)
"""Build arguments that need no ARG, count for no cache key and stay out of the history."""


class ResolvedImage(Struct, frozen=True):
    """A base image as found: its source pinned, its configuration."""

    vertex: Vertex
    config: ImageConfig


Resolver = Callable[[str, Platform], Awaitable[ResolvedImage]]
"""From a reference as written to the image; pulls where it must."""


class Request(Struct, frozen=True, kw_only=True):
    """`contexts` maps names given with `--build-context` to vertices; they win over stages and images.

    Those that are also in `targets` come with the configuration that another build gave them.
    """

    arguments: Mapping[str, str] = {}
    target: str = ""
    platform: Platform
    build_platform: Platform
    several: bool = False
    """Whether the same is built for other platforms too: a step's name then says for which it is."""
    runs: Callable[[Platform], bool] = lambda platform: True
    """Whether programs of a platform can be run here."""
    labels: Mapping[str, str] = {}
    no_cache: bool = False
    no_cache_stages: frozenset[str] = frozenset()
    network: str = "default"
    contexts: Mapping[str, Vertex] = {}
    context: Vertex
    targets: Mapping[str, Target] = {}

    def context_key(self, name: str) -> str:
        """The key in `contexts` that a name in the Dockerfile means, empty for none; an image has several names."""
        if name in self.contexts:
            return name
        try:
            familiar = reference.parse(name).with_default_tag().familiar.removesuffix(":latest")
        except InvalidArgument:
            return ""
        return familiar if familiar in self.contexts else ""


class Step(Struct, frozen=True):
    """One line of the image's history; `vertex` is None where the instruction makes no layer."""

    created_by: str
    vertex: Vertex | None


class Target(Struct, kw_only=True):
    """The image to be: its tree, its configuration without layers, and its history above the base's."""

    vertex: Vertex
    base: ImageConfig | None
    platform: Platform
    config: ExecutionConfig
    steps: list[Step] = field(default_factory=list)
    plan: list[PlannedStep] = field(default_factory=list)
    """The instructions of all stages that it needs."""
    author: str = ""
