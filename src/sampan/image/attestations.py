"""What an index states about its images: provenance and SBOMs, as manifests of their own beside them.

They are kept with the image that they are about, so that the index can go on whole; none is ever taken for an image.
"""

from __future__ import annotations

from ..oci import manifest as manifests
from ..oci.manifest import Descriptor, Index, Manifest
from .images import Images


def about(index: Index, digest: str) -> list[Descriptor]:
    """The entries of an index that make statements about one of its manifests."""
    return [entry for entry in index.manifests if manifests.attested(entry) == digest]


def parts(document: Manifest) -> list[Descriptor]:
    """The blobs that an attestation manifest names."""
    return list({part.digest: part for part in (document.config, *document.layers)}.values())


def note(images: Images, image_id: str, data: bytes, document: Manifest) -> None:
    """Keep an attestation of an image; its parts are in the store."""
    digest = images.store.add(data)
    blobs = [digest, *(part.digest for part in parts(document))]
    rows = [(image_id, digest, blob) for blob in blobs]
    with images.db.transaction():
        images.db.execute_many("INSERT OR IGNORE INTO image_attestation VALUES (?, ?, ?)", rows)


def kept(images: Images, image_id: str) -> dict[str, list[str]]:
    """The attestations of an image that are here: digests of their manifests, each with those of all its blobs."""
    found: dict[str, list[str]] = {}
    for row in images.db.query("SELECT manifest, blob FROM image_attestation WHERE image = ?", (image_id,)):
        found.setdefault(row["manifest"], []).append(row["blob"])
    return {digest: blobs for digest, blobs in found.items() if all(map(images.store.exists, blobs))}


def blobs_of(images: Images, image_id: str) -> list[str]:
    """Every blob that is here for an image's attestations."""
    rows = images.db.query("SELECT DISTINCT blob FROM image_attestation WHERE image = ?", (image_id,))
    return [row["blob"] for row in rows]
