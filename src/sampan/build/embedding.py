"""`sampan.build`: the builder for programs that have an engine of their own (docs/build.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from ..dockerfile.ignore import IgnoreRules
from ..dockerfile.parser import Dockerfile, render
from ..engine.engine import Engine
from ..errors import InvalidArgument
from ..image.record import Image
from ..oci import platform as platforms
from .builder import BuildRequest, builder_of
from .context import ignore_rules, opened, read_dockerfile, without_ignored
from .graph import Vertex
from .progress import BuildEvent, Listener


def _unheard(event: BuildEvent) -> None:
    pass


async def build(
    engine: Engine,
    source: str | os.PathLike[str] | Dockerfile | Vertex,
    *,
    context: str = "",
    dockerfile: str = "Dockerfile",
    tags: Sequence[str] = (),
    arguments: Mapping[str, str] | None = None,
    target: str = "",
    secrets: Mapping[str, bytes] | None = None,
    contexts: Mapping[str, str] | None = None,
    no_cache: bool = False,
    platform: str = "",
    on_progress: Listener = _unheard,
) -> Image:
    """Build an image and return it.

    `source` is a directory with a Dockerfile, the text of a Dockerfile (it has a newline), one that was parsed
    (`sampan.dockerfile.parser.parse`), or a graph. `context` is the directory that COPY reads where `source` is none;
    `contexts` name further ones. With several platforms (`linux/amd64,linux/arm64`) the image is that for this machine,
    and the tag stands for all. `on_progress` receives the events of `sampan.build.progress` on the event loop's thread.
    Raises DockerfileError, StepFailed and other SampanErrors.
    """
    request = BuildRequest(
        dockerfile="", context=context, tags=tags, arguments=arguments or {}, target=target, secrets=secrets or {},
        contexts=contexts or {}, no_cache=no_cache, platforms=platforms.parse_all(platform),
    )  # fmt: skip
    builder = builder_of(engine)
    if isinstance(source, Vertex):
        return (await builder.build_graph(source, request, on_progress)).image
    text, directory = _described(source, context, dockerfile)
    request = replace(request, dockerfile=text, dockerfile_name=dockerfile, context=directory)
    async with AsyncExitStack() as stack:
        rules = _ignore_rules(directory, dockerfile)
        if rules is not None:
            files = await stack.enter_async_context(without_ignored(engine, directory, rules))
            request = replace(request, context=files, ignored=rules)
        return (await builder.build(request, on_progress)).image


def _ignore_rules(directory: str, dockerfile: str) -> IgnoreRules | None:
    if not directory:
        return None
    with opened(directory) as tree:
        return ignore_rules(tree, dockerfile)


def _described(source: str | os.PathLike[str] | Dockerfile, context: str, dockerfile: str) -> tuple[str, str]:
    """The Dockerfile's text and the directory that it is built from."""
    if isinstance(source, Dockerfile):
        return render(source), context
    if "\n" in os.fspath(source):
        return os.fspath(source), context
    directory = os.path.abspath(source)
    if not os.path.isdir(directory):
        raise InvalidArgument(f"{directory} is neither a directory nor the text of a Dockerfile")
    with opened(directory) as tree:
        return read_dockerfile(tree, dockerfile), directory
