"""`images --tree`: each image with the platforms that it is there for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..model import quantity
from . import terminal
from .command import CommandFailed
from .container_list import short_id

if TYPE_CHECKING:
    from sampan.client.types import ImageSummary

    from .flags import Options
    from .session import Session

Row = tuple[str, str, str, str, str]
TITLES: Row = ("IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA")
LEGEND = "Info ->  U In Use "
IN_USE = " U "
DEFAULT_WIDTH = 80
NOT_WITH = ("quiet", "no-trunc", "digests", "format")
WARNING = "WARNING: This is an experimental feature. The output may change and shouldn't be depended on."


def show_tree(session: Session, options: Options, filters: dict[str, list[str]] | None) -> int:
    """Print the tree; flags that shape the flat list are refused in Docker's words."""
    for name in NOT_WITH:
        if options[name]:
            raise CommandFailed(f"--{name} is not yet supported with --tree")
    images = session.client.image_list(all=options["all"], filters=filters, manifests=True)
    _, width = terminal.size() or (0, DEFAULT_WIDTH)
    for line in render(images, width):
        session.say(line)
    return 0


def render(images: list[ImageSummary], width: int) -> Iterator[str]:
    """The lines, `width` characters wide where the names allow it."""
    blocks = [list(_block(image)) for image in images]
    rows = [TITLES, *(row for block in blocks for row in block)]
    name, identity, usage, content, extra = (max(len(row[column]) for row in rows) for column in range(len(TITLES)))

    def line(row: Row) -> str:
        cells = row[0].ljust(name), row[1].ljust(identity), row[2].rjust(usage), row[3].rjust(content)
        return "   ".join((*cells, row[4].ljust(extra)))

    yield WARNING
    yield LEGEND.rjust(width)
    yield ""
    yield line(TITLES)
    for index, block in enumerate(blocks):
        if index:
            yield ""
        yield from (line(row) if row[1] else row[0] for row in block)


def _block(image: ImageSummary) -> Iterator[Row]:
    """One line a tag, the last of them with the figures, then one a platform that is here."""
    *others, last = image.get("RepoTags") or ["<untagged>"]
    for tag in others:
        yield (tag, "", "", "", "")
    children = [entry for entry in image.get("Manifests", []) if entry["Kind"] == "image" and entry["Available"]]
    content = sum(entry["Size"]["Content"] for entry in children)
    used = image["Containers"] > 0 or any(entry["ImageData"]["Containers"] for entry in children)
    usage = sum(entry["Size"]["Total"] for entry in children) or image["Size"]
    yield _row(last, image["Id"], usage, content, used)
    for index, entry in enumerate(children):
        branch = "└─" if index == len(children) - 1 else "├─"
        data = entry["ImageData"]
        name = f"{branch} {_platform(data['Platform'])}"
        yield _row(name, entry["ID"], entry["Size"]["Total"], entry["Size"]["Content"], bool(data["Containers"]))


def _row(name: str, identity: str, usage: int, content: int, used: bool) -> Row:
    sizes = quantity.human_size3(usage), quantity.human_size3(content)
    return (name, short_id(identity), *sizes, IN_USE if used else "")


def _platform(platform: dict[str, str]) -> str:
    return "/".join(filter(None, (platform["os"], platform["architecture"], platform.get("variant", ""))))
