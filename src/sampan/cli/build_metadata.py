"""`--iidfile` and `--metadata-file`, as buildx writes them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from .command import CommandFailed
from .reference import canonical

if TYPE_CHECKING:
    from .build_output import Output
    from .build_progress import Outcome
    from .flags import Options

OCI = "application/vnd.oci.image."


def described(options: Options) -> str:
    """Which provenance the metadata file is to have: `min`, `max` or none."""
    wanted = os.environ.get("BUILDX_METADATA_PROVENANCE", "min").lower()
    return wanted if options["metadata-file"] and wanted in ("min", "max") else ""


def write_identity(path: str, outcome: Outcome) -> None:
    """The image's ID; of several platforms the digest of their index."""
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(outcome.identity)
    except OSError as error:
        raise CommandFailed(f"ERROR: writing image ID file: open {path}: {str(error.strerror).lower()}") from error


def write_metadata(path: str, outcome: Outcome, outputs: list[Output], tags: list[str], pushed: str) -> None:
    """Facts about the image; nothing where the build made none. `pushed` is the digest that a registry has it under."""
    has_image = any(output.is_image for output in outputs)
    with _written(path) as file:
        json.dump(metadata(outcome, outputs, tags, pushed) if has_image else {}, file, indent=2, sort_keys=True)


@contextmanager
def _written(path: str) -> Iterator[TextIO]:
    try:
        with open(path, "w", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise CommandFailed(f"ERROR: writing metadata file: open {path}: {str(error.strerror).lower()}") from error


def metadata(outcome: Outcome, outputs: list[Output], tags: list[str], pushed: str) -> dict[str, Any]:
    """As the docker driver's, whose images have no digest but their ID, until they are pushed or are written as OCI."""
    found: dict[str, Any] = {"containerimage.digest": pushed or outcome.identity}
    if len(outcome.provenance) == 1:
        (stated,) = outcome.provenance
        found["buildx.build.provenance"] = stated if "buildConfig" in stated else {
            key: value for key, value in stated.items() if key != "metadata"
        }  # fmt: skip
    if not outcome.index:
        found["containerimage.config.digest"] = outcome.image
    if tags:
        found["image.name"] = ",".join(canonical(tag) for tag in tags)
    if outcome.index or any(output.fetched for output in outputs):
        descriptor = _descriptor(outcome)
        found |= {"containerimage.descriptor": descriptor, "containerimage.digest": descriptor["digest"]}
    return found


def _descriptor(outcome: Outcome) -> dict[str, Any]:
    if outcome.index:
        return {"mediaType": f"{OCI}index.v1+json", "digest": outcome.index, "size": outcome.index_size}
    (image,) = outcome.images
    system, architecture, *variant = image["platform"].split("/")
    platform = {"architecture": architecture, "os": system} | ({"variant": variant[0]} if variant else {})
    return {
        "mediaType": f"{OCI}manifest.v1+json", "digest": image["manifest"], "size": image["size"], "platform": platform,
    }  # fmt: skip
