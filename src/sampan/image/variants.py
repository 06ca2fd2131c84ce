"""Images of several platforms: what came through one index belongs together.

A tag names one image, the platform that was pulled last; the others are found through the index that they share. They
are no dangling images while one of them has a tag, and they go with the last tag.
"""

from __future__ import annotations

import time

from msgspec import Struct, field

from ..errors import NotFound
from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci import platform as platforms
from ..oci import reference
from ..oci.manifest import Descriptor, Index
from ..oci.platform import Platform
from . import attestations
from .archive import check_platform
from .images import Images
from .record import Image


class KeptIndex(Struct, frozen=True):
    """An index in the store; `images` by the digests of those of its manifests that are here.

    `attestations`: digests of the manifests with statements that are here, each with those of all its blobs.
    """

    digest: str
    data: bytes
    document: Index
    images: dict[str, Image]
    attestations: dict[str, list[str]] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether all that the index names is here, so that it can be pushed."""
        return all(
            entry.digest in self.images or entry.digest in self.attestations for entry in self.document.manifests
        )


def note(images: Images, data: bytes, image: Image) -> None:
    """The image came through this index; its bytes are kept, for pushes and for `manifests=1`."""
    digest = images.store.add(data)
    images.db.execute("INSERT OR REPLACE INTO image_index VALUES (?, ?, ?)", (digest, image.id, time.time()))


def index_of(images: Images, image: Image) -> KeptIndex | None:
    """The index that an image came through last."""
    rows = images.db.query("SELECT digest FROM image_index WHERE image = ? ORDER BY noted DESC", (image.id,))
    return next((kept for row in rows if (kept := _kept(images, row["digest"])) is not None), None)


def index_digest(images: Images, ref: str) -> str:
    """The digest of the index that a name (not an ID) stands for; empty where it means one image alone."""
    if reference.is_identifier(ref) or digests.is_digest(ref):
        return ""
    name = images.reference(ref)
    if name.digest:
        row = images.db.one("SELECT digest FROM image_index WHERE digest = ?", (name.digest,))
        return name.digest if row else ""
    row = images.db.one("SELECT index_digest FROM image_tag WHERE name = ?", (str(name),))
    return row["index_digest"] if row else ""


def named_index(images: Images, ref: str) -> KeptIndex | None:
    """The index that a name stands for, where it is here."""
    digest = index_digest(images, ref)
    return _kept(images, digest) if digest else None


def _kept(images: Images, digest: str) -> KeptIndex | None:
    try:
        data = images.store.read(digest, manifests.MAX_MANIFEST_SIZE)
    except NotFound:
        return None  # `system check` reports it; the images do not need it
    document = manifests.parse(data)
    assert isinstance(document, Index)
    rows = images.db.query("SELECT image FROM image_index WHERE digest = ?", (digest,))
    members = [images.by_id(row["image"]) for row in rows]
    stated: dict[str, list[str]] = {}
    for member in members:
        stated |= attestations.kept(images, member.id)
    return KeptIndex(digest, data, document, {member.manifest: member for member in members}, stated)


def siblings(images: Images, image_id: str) -> list[str]:
    """IDs of the other images that share an index with this one."""
    rows = images.db.query(
        "SELECT DISTINCT other.image FROM image_index AS own JOIN image_index AS other ON other.digest = own.digest"
        " WHERE own.image = ? AND other.image != own.image",
        (image_id,),
    )
    return [row["image"] for row in rows]


def kept_by_siblings(images: Images) -> set[str]:
    """IDs of images that another platform's tag keeps."""
    rows = images.db.query(
        "SELECT DISTINCT own.image FROM image_index AS own JOIN image_index AS other ON other.digest = own.digest"
        " JOIN image_tag ON image_tag.image = other.image WHERE other.image != own.image"
    )
    return {row["image"] for row in rows}


def for_platform(images: Images, ref: str, wanted: Platform | None) -> Image:
    """The image of a name, or its variant for a platform; raises NotFound in Docker's words."""
    image = images.get(ref)
    if wanted is None:
        return image
    choices = [image, *(images.by_id(other) for other in siblings(images, image.id))]
    for choice in choices:
        if platforms.rank(wanted, choice.config.platform, strict=True) is not None:
            return choice
    check_platform(ref, image.config.platform, wanted)
    return image


class ListedManifest(Struct, frozen=True):
    """One entry of an index; `kind` is image, attestation or unknown, sizes in bytes of what is here."""

    descriptor: Descriptor
    image: Image | None
    kind: str = "image"
    attests: str = ""
    stated: int | None = None
    """Bytes of an attestation that is here."""

    @property
    def available(self) -> bool:
        """Whether it is here."""
        return self.image is not None or self.stated is not None

    @property
    def platform(self) -> Platform:
        """The index's word for it, else the configuration's."""
        if self.descriptor.platform is not None:
            return self.descriptor.platform
        return self.image.config.platform if self.image else Platform()

    @property
    def content(self) -> int:
        """Blobs."""
        if self.image is None:
            return self.stated or 0
        return sum(layer.descriptor.size for layer in self.image.layers) + self.descriptor.size

    @property
    def unpacked(self) -> int:
        """Snapshots."""
        return self.image.size if self.image else 0


def listed(images: Images, image: Image) -> list[ListedManifest]:
    """Every manifest of the image's index, or its own where it came through none."""
    index = index_of(images, image)
    if index is None:
        return [ListedManifest(single(images, image), image)]
    return [_entry(images, index, entry) for entry in index.document.manifests]


def _entry(images: Images, index: KeptIndex, entry: Descriptor) -> ListedManifest:
    if manifests.is_attestation(entry):
        blobs = index.attestations.get(entry.digest)
        size = sum(map(images.store.size, blobs)) if blobs is not None else None
        return ListedManifest(entry, None, "attestation", manifests.attested(entry), size)
    kind = "image" if entry.media_type in manifests.MANIFESTS else "unknown"
    return ListedManifest(entry, index.images.get(entry.digest), kind)


def single(images: Images, image: Image) -> Descriptor:
    """The descriptor of an image's own manifest, with its platform."""
    data, document = images.manifest(image)
    return Descriptor(
        manifests.media_type_of(document), image.manifest, len(data), platform=image.config.platform.normalized()
    )
