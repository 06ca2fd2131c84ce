"""`docker images`: filters, shared sizes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from msgspec.structs import replace

from ..errors import InvalidArgument, NotFound
from ..model.filters import Filters, check, flag, labelled, moment
from ..oci.reference import Reference
from . import variants
from .images import Images
from .record import Image

LIST_FILTERS = frozenset({"dangling", "label", "label!", "before", "since", "reference", "until"})
PRUNE_FILTERS = frozenset({"dangling", "label", "label!", "until", "unused-since"})


def list_images(images: Images, filters: Filters, *, all_images: bool = False) -> list[Image]:
    """The images that pass the filters, newest first; of `reference` matches only the matching names are kept."""
    check(filters, LIST_FILTERS)
    before, since = _bound(images, filters, "before"), _bound(images, filters, "since")
    until = moment(filters, "until")
    dangling = flag(filters, "dangling")
    variant = set() if all_images else variants.kept_by_siblings(images)
    found = []
    for image in images.all():
        in_time = (before is None or image.created_at < before) and (since is None or image.created_at > since)
        if not in_time or (until is not None and image.created_at > until) or not labelled(image.labels, filters):
            continue
        if image.id in variant and not image.tags:
            continue
        shown = _matching_names(image, filters.get("reference", ()))
        if shown is not None and _visible(images, image, dangling, all_images):
            found.append(shown)
    return found


def _visible(images: Images, image: Image, dangling: bool | None, all_images: bool) -> bool:
    if image.references:
        return not (dangling and image.tags)
    if dangling is not None:
        return dangling and (all_images or not images.children(image.id))
    return all_images or not images.children(image.id)


def _bound(images: Images, filters: Filters, key: str) -> float | None:
    values = filters.get(key, ())
    if not values:
        return None
    if len(values) > 1:
        raise InvalidArgument(f"invalid filter '{key}'")
    try:
        return images.get(values[0]).created_at
    except NotFound:
        raise NotFound(f"No such image: {values[0]}") from None


def _matching_names(image: Image, patterns: Sequence[str]) -> Image | None:
    if not patterns:
        return image
    tags = tuple(tag for tag in image.tags if any(familiar_match(text, tag) for text in patterns))
    found = tuple(name for name in image.digests if any(familiar_match(text, name) for text in patterns))
    return replace(image, tags=tags, digests=found) if tags or found else None


def familiar_match(pattern: str, name: Reference) -> bool:
    """Whether a shell pattern matches the familiar reference or its repository (`*` does not cross a slash)."""
    expression = _glob(pattern)
    return bool(expression.fullmatch(name.familiar) or expression.fullmatch(name.familiar_name))


def _glob(pattern: str) -> re.Pattern[str]:
    """Go's path.Match as a regular expression; raises InvalidArgument for a malformed pattern."""
    parts = re.findall(r"\*|\?|\[\^?[^]]+\]|\\.|[^*?[\\]", pattern, re.DOTALL)
    if "".join(parts) != pattern:
        raise InvalidArgument("syntax error in pattern")
    wild = {"*": "[^/]*", "?": "[^/]"}
    translated = [
        wild.get(part) or (part if len(part) > 2 and part[0] == "[" else re.escape(part.removeprefix("\\")))
        for part in parts
    ]
    return re.compile("".join(translated))


def shared_sizes(images: Sequence[Image]) -> dict[str, int]:
    """For every image ID the bytes of layers that other images have too."""
    users = Counter(chain for image in images for chain in set(image.chain_ids))
    return {image.id: sum(layer.size for layer in image.layers if users[layer.chain_id] > 1) for image in images}
