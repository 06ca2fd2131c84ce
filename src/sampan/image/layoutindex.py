"""`content/index.json`: the images by name, as an OCI layout has them (image-layout.md).

skopeo and others read it; when the database is lost, images are rebuilt from it (S31). The database stays the truth.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..db import Row
from ..errors import InvalidArgument, SampanError
from ..oci import config as configs
from ..oci import manifest as manifests
from ..oci import reference
from ..oci.manifest import OCI_INDEX, Descriptor, Index, Manifest
from .images import Images
from .layers import Layer, chain_on

_NAME = "org.opencontainers.image.ref.name"
_DIGESTS = "dev.sampan.digests"
_PARENT = "dev.sampan.parent"


def write(images: Images) -> None:
    """Write the index anew; not durable by itself, the database is."""
    rows = images.db.query("SELECT id, manifest, parent FROM image")
    entries = [entry for row in rows for entry in _entries(images, row)]
    path = images.store.index_path
    with open(f"{path}.new", "wb") as file:
        file.write(manifests.encode(Index(2, entries, media_type=OCI_INDEX)))
    os.rename(f"{path}.new", path)


def _entries(images: Images, row: Row) -> Iterator[Descriptor]:
    """One for each name, as the layout wants it; one without a name where there is none."""
    digest = row["manifest"]
    if not images.store.exists(digest):
        return
    data = images.store.read(digest, manifests.MAX_MANIFEST_SIZE)
    known = " ".join(map(str, images.names("image_digest", row["id"])))
    own = {key: value for key, value in ((_PARENT, row["parent"]), (_DIGESTS, known)) if value}
    for name in images.names("image_tag", row["id"]) or (None,):
        named = {**own, _NAME: name.familiar} if name else own
        kind = manifests.media_type_of(manifests.parse(data))
        yield Descriptor(kind, digest, len(data), annotations=named or None)


def rebuild(images: Images) -> tuple[list[str], list[str]]:
    """Put back the rows of a lost database: names or IDs of what came back, and what could not, with its reason."""
    done, failed = [], []
    try:
        with open(images.store.index_path, "rb") as file:
            found = manifests.parse(file.read(manifests.MAX_MANIFEST_SIZE + 1), OCI_INDEX)
    except FileNotFoundError:
        return [], []
    except (InvalidArgument, OSError) as error:
        return [], [f"{images.store.index_path}: {error}"]
    for entry in found.manifests if isinstance(found, Index) else ():
        name = (entry.annotations or {}).get(_NAME, "")
        try:
            done.append(_rebuild(images, entry, name))
        except (SampanError, OSError) as error:
            failed.append(f"{name or entry.digest}: {error}")
    return done, failed


def _rebuild(images: Images, entry: Descriptor, name: str) -> str:
    about = entry.annotations or {}
    data = images.store.read(entry.digest, manifests.MAX_MANIFEST_SIZE)
    document = manifests.parse(data, entry.media_type)
    if not isinstance(document, Manifest):
        raise InvalidArgument("is no manifest")
    config = images.store.read(document.config.digest, configs.MAX_CONFIG_SIZE)
    layers = list(_layers(images, document, configs.parse(config).rootfs.diff_ids))
    image = images.add(config, layers, manifest=data, parent=about.get(_PARENT, ""))
    if name:
        images.tag(image.id, reference.parse(name))
    for text in about.get(_DIGESTS, "").split():
        known = reference.parse(text)
        images.add_digest(image.id, known, known.digest)
    return name or image.id


def _layers(images: Images, document: Manifest, diff_ids: list[str]) -> Iterator[Layer]:
    if len(document.layers) != len(diff_ids):
        raise InvalidArgument("layers from manifest don't match image configuration")
    parent: str | None = None
    for descriptor, diff_id in zip(document.layers, diff_ids, strict=True):
        parent = chain_on(parent, diff_id)
        yield Layer(descriptor, diff_id, parent, images.layers.snapshots.size(parent) or 0)
