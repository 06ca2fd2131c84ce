"""`--iidfile` and `--metadata-file`, as buildx writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .reference import canonical

if TYPE_CHECKING:
    from .build_output import Output
    from .build_progress import Outcome

OCI = "application/vnd.oci.image."


def write_identity(path: str, outcome: Outcome) -> None:
    """The image's ID; of several platforms the digest of their index."""
    with open(path, "w", encoding="ascii") as file:
        file.write(outcome.identity)


def write_metadata(path: str, outcome: Outcome, outputs: list[Output], tags: list[str], pushed: str) -> None:
    """Facts about the image; nothing where the build made none. `pushed` is the digest that a registry has it under."""
    has_image = any(output.kind not in ("local", "tar", "cacheonly") for output in outputs)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(metadata(outcome, outputs, tags, pushed) if has_image else {}, file, indent=2, sort_keys=True)


def metadata(outcome: Outcome, outputs: list[Output], tags: list[str], pushed: str) -> dict[str, Any]:
    """As the docker driver's, whose images have no digest but their ID, until they are pushed or are written as OCI."""
    found: dict[str, Any] = {"containerimage.digest": pushed or outcome.identity}
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
