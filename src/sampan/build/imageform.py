"""What `--output`, `--annotation` and `--attest` ask of an image: how layers are compressed, what its documents say.

The names are those of BuildKit's image exporter, which `docker build --output` has too; what is not known is refused.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import InvalidArgument
from ..oci import platform as platforms
from ..oci.platform import Platform

_LEVELS = {"gzip": range(10), "zstd": range(1, 23), "uncompressed": range(0)}
"""Compressions and the levels that each has."""
_ANNOTATION = re.compile(
    r"annotation(?:-(?P<place>manifest|index|manifest-descriptor|index-descriptor))?(?:\[(?P<platform>[^]]*)\])?\.(?P<name>.+)"
)
_SATISFIED = {"unpack": "true", "store": "true"}
"""What is so anyhow, and its value."""
_PROVENANCE = frozenset({"type", "mode", "builder-id", "reproducible", "inline-only", "version", "disabled"})


@dataclass(frozen=True)
class Annotation:
    """`place`: manifest, index, manifest-descriptor or index-descriptor; of all platforms where `platform` is None."""

    place: str
    platform: Platform | None
    name: str
    value: str


@dataclass(frozen=True)
class Provenance:
    """`complete` (mode=max): with build arguments, names of secrets, the steps and the Dockerfile."""

    complete: bool = False
    builder_id: str = ""
    reproducible: bool = False


@dataclass(frozen=True)
class ImageForm:
    """`compression` empty: as the steps made the layers. `force`: those of the base image too.

    `docker_types`: media types of Docker instead of OCI's. `clamped`: `rewrite-timestamp` was asked for.
    """

    compression: str = ""
    level: int | None = None
    force: bool = False
    docker_types: bool = False
    clamped: bool = False
    annotations: tuple[Annotation, ...] = ()
    provenance: Provenance | None = None

    def annotated(self, place: str, platform: Platform | None = None) -> dict[str, str] | None:
        """The annotations of a place, as documents have them."""
        found = {
            one.name: one.value
            for one in self.annotations
            if one.place == place and (one.platform is None or platform is None or one.platform == platform)
        }
        return found or None


def parse_form(fields: Mapping[str, str]) -> ImageForm:
    """From the fields of the flags; InvalidArgument for what there is not."""
    compression, level = _compression(fields)
    annotations = []
    for name, value in fields.items():
        if (found := _ANNOTATION.fullmatch(name)) is not None:
            platform = platforms.parse(found["platform"]) if found["platform"] else None
            annotations.append(Annotation(found["place"] or "manifest", platform, found["name"], value))
        elif name not in _FIELDS and _SATISFIED.get(name) != value:
            raise InvalidArgument(f"image output: {name}={value} cannot be done here")
    return ImageForm(
        compression, level, _flag(fields, "force-compression"), not _flag(fields, "oci-mediatypes", default=True),
        _flag(fields, "rewrite-timestamp"), tuple(annotations), _provenance(fields.get("attest:provenance")),
    )  # fmt: skip


_FIELDS = frozenset(
    {
        "compression",
        "compression-level",
        "force-compression",
        "oci-mediatypes",
        "rewrite-timestamp",
        "attest:provenance",
    }
)


def _compression(fields: Mapping[str, str]) -> tuple[str, int | None]:
    compression = fields.get("compression", "")
    if compression and compression not in _LEVELS:
        raise InvalidArgument(f"unsupported compression type {compression}")
    text = fields.get("compression-level", "")
    if not text:
        return compression, None
    compression = compression or "gzip"
    if not text.isdigit() or int(text) not in _LEVELS[compression]:
        raise InvalidArgument(f"invalid compression level {text} for {compression}")
    return compression, int(text)


def _flag(fields: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    value = fields.get(name, "true" if default else "false").lower()
    if value not in ("true", "false", "1", "0", ""):
        raise InvalidArgument(f"non-bool value specified for {name}")
    return value in ("true", "1", "")


def _provenance(text: str | None) -> Provenance | None:
    if text is None:
        return None
    parted = (part.partition("=") for part in next(csv.reader([text]), ()))
    fields = {name: value for name, _, value in parted}
    mode = fields.get("mode", "max")
    if mode not in ("min", "max"):
        raise InvalidArgument(f'invalid mode "{mode}"')
    if unknown := set(fields) - _PROVENANCE:
        raise InvalidArgument(f"provenance attestations know no {min(unknown)}")
    if fields.get("version", "v0.2") != "v0.2":
        raise InvalidArgument(f"provenance of version {fields['version']} is not written here: v0.2 is")
    if _flag(fields, "disabled") or _flag(fields, "inline-only"):
        return None
    return Provenance(mode == "max", fields.get("builder-id", ""), _flag(fields, "reproducible"))
