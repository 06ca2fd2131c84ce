"""`images`, `rmi`, `tag`, `history` and `image bootstrap`."""

from __future__ import annotations

import sys

from sampan.errors import InvalidArgument, NotFound, SampanError

from ..model import quantity
from . import filtering, reference, timestamps
from .command import CommandFailed, at_least, at_most, command, exactly
from .container_list import ellipsis, short_id
from .flags import Options, boolean, filters, string, strings
from .progress import display
from .tabular import View, show
from .usage import FORMAT_USAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sampan.client.types import ImageSummary

    from .session import Session

    Record = dict[str, Any]

NONE = "<none>"
CREATED_BY_WIDTH = 45


def image_rows(images: list[ImageSummary], with_digests: bool) -> Iterator[Record]:
    """One row per tag (and digest), in the daemon's order of images."""
    for image in images:
        tags, digests = _by_repository(image.get("RepoTags"), ":"), _by_repository(image.get("RepoDigests"), "@")
        rows = list(_pairs(tags, digests, with_digests))
        for repository, tag, digest in rows or [(NONE, NONE, NONE)]:
            yield {**image, "Repository": repository, "Tag": tag, "Digest": digest}


def _by_repository(references: list[str] | None, separator: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in references or ():
        repository, _, rest = text.rpartition(separator)
        if repository != NONE:
            found.setdefault(repository, []).append(rest)
    return found


def _pairs(
    tags: dict[str, list[str]], digests: dict[str, list[str]], with_digests: bool
) -> Iterator[tuple[str, str, str]]:
    for repository in sorted({*tags, *digests}):
        own_tags, own_digests = sorted(tags.get(repository, [])), digests.get(repository, [])
        if not own_tags:
            if with_digests:
                yield from ((repository, NONE, digest) for digest in own_digests)
            elif own_digests:
                yield repository, NONE, NONE
        for tag in own_tags:
            yield from ((repository, tag, digest) for digest in (own_digests if with_digests else ()) or (NONE,))


def _shared(key: str) -> Any:
    def get(record: Record) -> str:
        value = record.get(key, -1)
        return "N/A" if value is None or value < 0 else quantity.human_size(value)

    return get


def _unique(record: Record) -> str:
    shared = record.get("SharedSize", -1)
    return "N/A" if shared < 0 or record.get("Size", -1) < 0 else quantity.human_size(record["Size"] - shared)


def image_view(full: bool, digests: bool) -> View:
    table = "Repository Tag " + ("Digest " if digests else "") + "ID CreatedSince Size"
    raw_fields = {"repository": "Repository", "tag": "Tag", **({"digest": "Digest"} if digests else {})}
    raw = "".join(f"{name}: {{{{.{field}}}}}\n" for name, field in raw_fields.items())
    return View(
        "imageContext",
        table,
        {
            "ID": ("IMAGE ID", lambda record: record["Id"] if full else short_id(record["Id"])),
            "Repository": ("REPOSITORY", lambda record: record["Repository"]),
            "Tag": ("TAG", lambda record: record["Tag"]),
            "Digest": ("DIGEST", lambda record: record["Digest"]),
            "CreatedSince": ("CREATED", lambda record: timestamps.ago(record["Created"])),
            "CreatedAt": ("CREATED AT", lambda record: timestamps.local_time(record["Created"])),
            "Size": ("SIZE", lambda record: quantity.human_size3(record["Size"])),
            "Containers": ("CONTAINERS", _containers),
            "VirtualSize": ("SIZE", lambda record: quantity.human_size3(record["Size"])),
            "SharedSize": ("SHARED SIZE", _shared("SharedSize")),
            "UniqueSize": ("UNIQUE SIZE", _unique),
        },
        raw=raw + "image_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n",
    )


def _containers(record: Record) -> str:
    """Docker prints the number even where it is unknown, but for -1."""
    count = record.get("Containers", -1)
    return "N/A" if count == -1 else str(count)


@command(
    "[OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
    boolean("all", "Show all images (default hides intermediate images)", short="a"),
    boolean("digests", "Show digests"),
    filters("filter", "Filter output based on conditions provided", short="f"),
    string("format", FORMAT_USAGE),
    boolean("no-trunc", "Don't truncate output"),
    boolean("quiet", "Only show image IDs", short="q"),
    boolean("tree", "List multi-platform images as a tree (EXPERIMENTAL)"),
    arity=at_most(1),
)
def ls(session: Session, options: Options, arguments: list[str]) -> int:
    wanted = filtering.parse(options["filter"]) or {}
    if arguments:
        wanted["reference"] = [*wanted.get("reference", []), arguments[0]]
    if options["tree"]:
        from .images_tree import show_tree

        return show_tree(session, options, wanted or None)
    images = session.client.image_list(all=options["all"], filters=wanted or None, digests=options["digests"])
    template = options["format"] or ("" if options["quiet"] else session.config.text("imagesFormat"))
    with_digests = options["digests"] or ".Digest" in template
    rows = list(image_rows(images, with_digests))
    show(image_view(options["no-trunc"], options["digests"]), rows, template, options["quiet"])
    return 0


@command(
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE", arity=exactly(2)
)
def tag(session: Session, options: Options, arguments: list[str]) -> int:
    from sampan.oci.reference import parse

    try:
        parse(arguments[1])
    except InvalidArgument as error:
        raise CommandFailed(
            f'Error parsing reference: "{arguments[1]}" is not a valid repository/tag: {error}'
        ) from None
    repository, name, digest = reference.split(arguments[1])
    if digest:
        raise CommandFailed("refusing to create a tag with a digest reference")
    session.client.image_tag(arguments[0], repository, name or reference.DEFAULT_TAG)
    return 0


@command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Remove one or more images",
    boolean("force", "Force removal of the image", short="f"),
    boolean("no-prune", "Do not delete untagged parents"),
    strings(
        "platform", 'Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")'
    ),
    arity=at_least(1),
)
def rm(session: Session, options: Options, arguments: list[str]) -> int:
    from .pull import platform_object

    failures, fatal = [], False
    platforms: Any = [platform_object(text) for text in options["platform"]] or None
    for name in arguments:
        try:
            removed = session.client.image_remove(name, options["force"], options["no-prune"], platforms)
        except SampanError as error:
            fatal = fatal or not isinstance(error, NotFound)
            failures.append(f"Error response from daemon: {error}")
            continue
        for item in removed:
            session.say(f"Deleted: {item['Deleted']}" if item.get("Deleted") else f"Untagged: {item['Untagged']}")
    if failures:
        # `rmi -f` of an image that does not exist says so and succeeds.
        raise CommandFailed("\n".join(failures), 1 if fatal or not options["force"] else 0)
    return 0


def _created_by(full: bool) -> Any:
    def get(record: Record) -> str:
        text = str(record["CreatedBy"]).replace("\t", " ")
        return text if full else ellipsis(text, CREATED_BY_WIDTH)

    return get


def history_view(full: bool, human: bool) -> View:
    created = "CreatedSince" if human else "CreatedAt"
    return View(
        "historyContext",
        f"ID {created} CreatedBy Size Comment",
        {
            "ID": ("IMAGE", lambda record: record["Id"] if full else short_id(record["Id"])),
            "CreatedSince": ("CREATED", lambda record: _history_age(record["Created"])),
            "CreatedAt": ("CREATED AT", lambda record: timestamps.local_iso(record["Created"])),
            "CreatedBy": ("CREATED BY", _created_by(full)),
            "Size": ("SIZE", lambda record: quantity.human_size3(record["Size"]) if human else str(record["Size"])),
            "Comment": ("COMMENT", lambda record: record.get("Comment", "")),
        },
    )


def _history_age(created: int) -> str:
    """Images made to be reproducible have no time."""
    return timestamps.ago(created) if created > -62135596800 + 1 else "N/A"


@command(
    "[OPTIONS] IMAGE",
    "Show the history of an image",
    string("format", FORMAT_USAGE),
    boolean("human", "Print sizes and dates in human readable format", short="H", default=True),
    boolean("no-trunc", "Don't truncate output"),
    string("platform", 'Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")'),
    boolean("quiet", "Only show image IDs", short="q"),
    arity=exactly(1),
)
def history(session: Session, options: Options, arguments: list[str]) -> int:
    from .pull import platform_object

    layers = session.client.image_history(arguments[0], platform_object(options["platform"]))
    show(history_view(options["no-trunc"], options["human"]), layers, options["format"], options["quiet"])
    return 0


@command(
    "NAME[:TAG]", "Make a base image (busybox, debian:bookworm, …) from this host's own packages", arity=exactly(1)
)
def bootstrap(session: Session, options: Options, arguments: list[str]) -> int:
    display(session.client.image_bootstrap(arguments[0]), sys.stdout)
    return 0
