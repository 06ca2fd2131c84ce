"""`docker images`: filters, shared sizes."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..errors import InvalidArgument, NotFound
from ..oci.reference import Reference
from . import variants
from .changes import duration
from .images import Images
from .record import Image, timestamp

_TRUE, _FALSE = {"1", "t", "T", "TRUE", "true", "True"}, {"0", "f", "F", "FALSE", "false", "False"}
LIST_FILTERS = frozenset({"dangling", "label", "label!", "before", "since", "reference", "until"})
PRUNE_FILTERS = frozenset({"dangling", "label", "label!", "until", "unused-since"})


@dataclass(frozen=True)
class Filters:
    """Docker's filters: each key's values."""

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def check(self, allowed: frozenset[str]) -> Filters:
        """Raise InvalidArgument for a key that is not allowed."""
        for key in self.values:
            if key not in allowed:
                raise InvalidArgument(f"invalid filter '{key}'")
        return self

    def flag(self, key: str, *, default: bool | None = None) -> bool | None:
        """A boolean filter."""
        values = set(self.values.get(key, ()))
        if not values:
            return default
        if not values <= _TRUE and not values <= _FALSE:
            raise InvalidArgument(f"invalid filter '{key}=[{' '.join(sorted(values))}]'")
        return values <= _TRUE

    def time(self, key: str) -> float | None:
        """A time filter: RFC 3339, seconds since the epoch, or an age such as `24h`; seconds since the epoch."""
        values = self.values.get(key, ())
        if len(values) > 1:
            raise InvalidArgument(f"more than one {key} filter specified")
        return parse_time(values[0]) if values else None


def parse_time(text: str) -> float:
    """Docker's timestamps: a Go duration counts back from now."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    try:
        return time.time() - duration(text) / 1e9
    except InvalidArgument:
        pass
    try:
        return timestamp(text)
    except ValueError:
        raise InvalidArgument(f'failed to parse value as time or duration: "{text}"') from None


def list_images(images: Images, filters: Filters, *, all_images: bool = False) -> list[Image]:
    """The images that pass the filters, newest first; of `reference` matches only the matching names are kept."""
    filters.check(LIST_FILTERS)
    before, since = _bound(images, filters, "before"), _bound(images, filters, "since")
    until = filters.time("until")
    dangling = filters.flag("dangling")
    variant = set() if all_images else variants.kept_by_siblings(images)
    found = []
    for image in images.all():
        in_time = (before is None or image.created_at < before) and (since is None or image.created_at > since)
        if not in_time or (until is not None and image.created_at > until) or not _labelled(image, filters):
            continue
        if image.id in variant and not image.tags:
            continue
        shown = _matching_names(image, filters.values.get("reference", ()))
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
    values = filters.values.get(key, ())
    if not values:
        return None
    if len(values) > 1:
        raise InvalidArgument(f"invalid filter '{key}'")
    try:
        return images.get(values[0]).created_at
    except NotFound:
        raise NotFound(f"No such image: {values[0]}") from None


def _labelled(image: Image, filters: Filters) -> bool:
    labels = (image.config.config.labels if image.config.config else None) or {}
    wanted, unwanted = filters.values.get("label", ()), filters.values.get("label!", ())
    return all(label_matches(labels, text) for text in wanted) and not any(
        label_matches(labels, text) for text in unwanted
    )


def label_matches(labels: Mapping[str, str], wanted: str) -> bool:
    """`key` or `key=value`."""
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


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
