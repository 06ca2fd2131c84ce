"""Writing archives as docker 28 does: an OCI layout that also has `manifest.json` and `repositories`.

Layers keep their own bytes, so the archive loads elsewhere with the same digests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from ..cas import Store
from ..cas.compression import CHUNK
from ..errors import InvalidArgument, NotFound
from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci import platform as platforms
from ..oci import reference
from ..oci.manifest import OCI_INDEX, Descriptor, Index, reference_annotations
from ..oci.platform import Platform
from ..oci.reference import Reference
from . import variants
from .images import Images
from .record import Image

_BLOCK = 512


class Saved(Struct, frozen=True):
    """An image and the names that go with it into the archive; `index` where several platforms of it are saved.

    `annotations` are those of its entry in `index.json`.
    """

    image: Image
    names: tuple[Reference, ...]
    index: variants.KeptIndex | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)


def select(images: Images, refs: Iterable[str], wanted: Sequence[Platform] = ()) -> list[Saved]:
    """What `docker save REF…` means: a bare repository stands for all its tags, an ID for no name at all.

    With several platforms each of them is saved, below the index that they came through; with none the whole index
    where all of it is here, its attestations too.
    """
    chosen: dict[str, list[Reference]] = {}
    indexes: dict[str, variants.KeptIndex | None] = {}
    for ref in refs:
        found = _names(images, ref, _find(images, ref))
        for image_id, names in found:
            for image, index in _images(images, names[0].familiar if names else image_id, wanted):
                chosen.setdefault(image.id, []).extend(names)
                indexes[image.id] = index
    return [Saved(images.by_id(key), tuple(dict.fromkeys(names)), indexes[key]) for key, names in chosen.items()]


def _images(
    images: Images, ref: str, wanted: Sequence[Platform]
) -> Iterator[tuple[Image, variants.KeptIndex | None]]:  # fmt: skip
    for platform in wanted:
        try:
            image = variants.for_platform(images, ref, platform)
        except NotFound as error:
            raise NotFound(f"no suitable export target found: {error}") from None
        yield image, variants.index_of(images, image) if len(wanted) > 1 else None
    if wanted:
        return
    image = images.get(ref)
    index = variants.named_index(images, ref)
    if index is None or not index.whole:
        yield image, None
    else:
        yield from ((member, index) for member in index.images.values())


def _find(images: Images, ref: str) -> Image:
    try:
        return images.get(ref)
    except NotFound:
        raise NotFound(f"No such image: {ref}") from None  # here without the tag that was left out, as Docker says it


def _names(images: Images, ref: str, image: Image) -> list[tuple[str, list[Reference]]]:
    try:
        named = images.reference(ref)
        name = named if reference.parse(ref).tag or named.digest else replace(named, tag="")
    except InvalidArgument:
        return [(image.id, [])]
    if name.tag and not name.digest and name in image.tags:
        return [(image.id, [name])]
    if not name.tag and not name.digest:
        of_repository = [(other.id, [tag for tag in other.tags if tag.name == name.name]) for other in images.all()]
        return [entry for entry in of_repository if entry[1]] or [(image.id, [])]
    return [(image.id, [])]


def save(images: Images, selection: list[Saved]) -> Iterator[bytes]:
    """The archive, chunk by chunk; rows are read at once, the chunks may be in a thread."""
    blobs: dict[str, int] = {}
    entries: list[Descriptor] = []
    for saved in selection:
        image = saved.image
        data, _ = images.manifest(image)
        needed = [image.id, image.manifest, *(layer.descriptor.digest for layer in image.layers)]
        top = saved.index
        if top is not None:
            needed += [top.digest, *(blob for blobs in top.attestations.values() for blob in blobs)]
            data = top.data
        document, annotations = manifests.parse(data), dict(saved.annotations) or None
        descriptor = Descriptor(
            manifests.media_type_of(document), top.digest if top else image.manifest, len(data), annotations=annotations
        )
        entries += [entry for entry in _index_entries(descriptor, saved.names) if entry not in entries]
        blobs.update({digest: images.store.size(digest) for digest in needed})
    items = [_item(saved) for saved in _listed(selection)]
    return archive(images.store, blobs, _documents(selection, entries, items))


def _listed(selection: list[Saved]) -> list[Saved]:
    """What readers that know nothing of indexes get: of each index the platform of this host, or the first."""
    chosen: dict[str, Saved] = {}
    for saved in selection:
        key = saved.index.digest if saved.index else saved.image.id
        if key not in chosen or (_is_for_host(saved) and not _is_for_host(chosen[key])):
            chosen[key] = saved
    return list(chosen.values())


def _is_for_host(saved: Saved) -> bool:
    return platforms.rank(platforms.host(), saved.image.config.platform) is not None


def _documents(selection: list[Saved], entries: list[Descriptor], items: list[dict[str, Any]]) -> dict[str, bytes]:
    documents = {
        "index.json": msgspec.json.encode(Index(2, entries, media_type=OCI_INDEX)),
        "manifest.json": msgspec.json.encode(items),
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
    }
    repositories: dict[str, dict[str, str]] = {}
    for saved in selection:
        for name in saved.names:
            top = saved.image.layers[-1].diff_id if saved.image.layers else saved.image.id
            repositories.setdefault(name.familiar_name, {})[name.tag] = digests.encoded(top)
    if repositories:
        documents["repositories"] = msgspec.json.encode(repositories)
    return documents


def _index_entries(descriptor: Descriptor, names: tuple[Reference, ...]) -> list[Descriptor]:
    if not names:
        return [descriptor]
    return [
        msgspec.structs.replace(
            descriptor, annotations={**(descriptor.annotations or {}), **reference_annotations(name.name, name.tag)}
        )
        for name in names
    ]


def _item(saved: Saved) -> dict[str, Any]:
    image = saved.image
    return {
        "Config": digests.blob_path(image.id),
        "RepoTags": [name.familiar for name in saved.names] or None,
        "Layers": [digests.blob_path(layer.descriptor.digest) for layer in image.layers],
        "LayerSources": {layer.diff_id: layer.descriptor for layer in image.layers},
    }


def archive(store: Store, blobs: dict[str, int], documents: dict[str, bytes]) -> Iterator[bytes]:
    """A tar of blobs, given with their sizes, and of documents by name."""
    yield _header("blobs/", 0, b"5") + _header("blobs/sha256/", 0, b"5")
    for digest in sorted(blobs):
        yield _header(digests.blob_path(digest), blobs[digest])
        with store.open(digest) as blob:
            while chunk := blob.read(CHUNK):
                yield chunk
        if padding := -blobs[digest] % _BLOCK:  # whoever streams takes an empty chunk for the end
            yield bytes(padding)
    for name, data in documents.items():
        yield _header(name, len(data)) + data + bytes(-len(data) % _BLOCK)
    yield bytes(2 * _BLOCK)


def _header(name: str, size: int, kind: bytes = b"0") -> bytes:
    """A ustar header (POSIX.1-2017, pax, «ustar Interchange Format»); sizes of 8 GiB and more in base 256."""
    mode = b"0000755\0" if kind == b"5" else b"0000644\0"
    length = b"%011o\0" % size if size < 8 << 30 else b"\x80" + size.to_bytes(11, "big")
    fields = [name.encode().ljust(100, b"\0"), mode, b"0000000\0" * 2, length, b"00000000000\0"]
    tail = kind + bytes(100) + b"ustar\00000" + bytes(64) + b"0000000\0" * 2
    head = b"".join(fields)
    checksum = sum(head) + 8 * 32 + sum(tail)
    return (head + b"%06o\0 " % checksum + tail).ljust(_BLOCK, b"\0")
