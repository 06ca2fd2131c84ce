"""`pull` and `push`."""

from __future__ import annotations

import sys

from . import reference
from .command import command, exactly
from .flags import Options, boolean, string
from .progress import display

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TextIO

    from sampan.client.types import Progress

    from .session import Session

TRUST = boolean("disable-content-trust", "Skip image verification", default=True)


def platform_object(text: str) -> dict[str, str] | None:
    """`os[/arch[/variant]]` as the API's JSON."""
    if not text:
        return None
    system, _, rest = text.partition("/")
    architecture, _, variant = rest.partition("/")
    found = {"os": system, "architecture": architecture, "variant": variant}
    return {key: value for key, value in found.items() if value}


def platform_objects(texts: list[str]) -> list[dict[str, str]] | None:
    """Several platforms as the API's JSON."""
    return [found for text in texts if (found := platform_object(text)) is not None] or None


def pull_image(session: Session, image: str, platform: str, out: TextIO, quiet: bool) -> str:
    """Pull and show it; returns the name that the image got, which may be in another registry than Docker Hub."""
    from .credentials import registry_auth

    repository, tag, digest = reference.split(image)
    messages = session.client.image_pull(
        repository,
        digest or tag or reference.DEFAULT_TAG,
        platform or None,
        registry_auth(session, repository),
    )
    name = reference.with_default_tag(image)

    def noted() -> Iterator[Progress]:
        nonlocal name
        for message in messages:
            if str(message.get("status", "")).startswith("Status: "):
                name = message["status"].rpartition(" ")[2]
            yield message

    display(noted(), None if quiet else out)
    return reference.canonical(name)


@command(
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Download an image from a registry",
    boolean("all-tags", "Download all tagged images in the repository", short="a"),
    TRUST,
    string("platform", "Set platform if server is multi-platform capable"),
    boolean("quiet", "Suppress verbose output", short="q"),
    arity=exactly(1),
)
def pull(session: Session, options: Options, arguments: list[str]) -> int:
    from .credentials import registry_auth

    name = arguments[0]
    repository, tag, digest = reference.split(name)
    if options["all-tags"]:
        auth = registry_auth(session, repository)
        messages = session.client.image_pull(repository, None, options["platform"] or None, auth)
        display(messages, None if options["quiet"] else sys.stdout)
    else:
        if not (tag or digest) and not options["quiet"]:
            session.say(f"Using default tag: {reference.DEFAULT_TAG}")
        name = pull_image(session, name, options["platform"], sys.stdout, options["quiet"])
    session.say(reference.canonical(reference.with_default_tag(name)))
    return 0


@command(
    "[OPTIONS] NAME[:TAG]",
    "Upload an image to a registry",
    boolean("all-tags", "Push all tags of an image to the repository", short="a"),
    TRUST,
    string("platform", "Push a platform-specific manifest as a single-platform image to the registry."),
    boolean("quiet", "Suppress verbose output", short="q"),
    arity=exactly(1),
)
def push(session: Session, options: Options, arguments: list[str]) -> int:
    from .credentials import registry_auth

    repository, tag, _ = reference.split(arguments[0])
    if not options["all-tags"] and not tag:
        tag = reference.DEFAULT_TAG
        if not options["quiet"]:
            session.say(f"Using default tag: {tag}")
    auth = registry_auth(session, repository)
    messages = session.client.image_push(repository, tag or None, platform_object(options["platform"]), auth)
    display(messages, None if options["quiet"] else sys.stdout, _ignore)
    if options["quiet"]:
        session.say(reference.canonical(f"{repository}:{tag}" if tag else repository))
    return 0


def _ignore(aux: dict[str, Any]) -> None:
    """The pushed digest is already in the status lines."""
