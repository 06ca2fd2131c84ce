"""Use cases of local images: list, tag, remove, prune, import, load, save."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from typing import BinaryIO

from ..cas.compression import CHUNK
from ..errors import DataLoss
from ..image import attestations, variants
from ..image.archive import Archive, ArchivedImage, decompress_archive
from ..image.importing import ImportOptions, import_config, with_layer
from ..image.layers import Layer, chain_on
from ..image.listing import PRUNE_FILTERS
from ..image.listing import list_images as listed
from ..image.record import HistoryLine, Image, Removal
from ..image.removal import Remover
from ..image.saving import Saved
from ..image.saving import save as archive_of
from ..image.saving import select as select_saved
from ..model.filters import Filters, check
from ..model.progress import Progress, ProgressDetail, Report
from ..oci import config as configs
from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci import reference
from ..oci.manifest import Descriptor, Index, Manifest
from ..oci.platform import Platform
from ..oci.reference import Reference
from .bodies import fed, in_threads, spooled
from .imagehost import ImageHost, image_event


def inspect(host: ImageHost, ref: str, platform: Platform | None = None) -> Image:
    """One image by name, digest or ID prefix; of several platforms the one that is asked for."""
    return variants.for_platform(host.images, ref, platform)


def history(host: ImageHost, ref: str, platform: Platform | None = None) -> list[HistoryLine]:
    """How the image came about, newest line first."""
    return host.images.history(inspect(host, ref, platform))


def list_images(host: ImageHost, filters: Filters, *, all_images: bool = False) -> list[Image]:
    """`docker images`, newest first."""
    return listed(host.images, filters, all_images=all_images)


def tag(host: ImageHost, ref: str, repository: str, tag_name: str = "") -> None:
    """`docker tag`."""
    image = host.images.get(ref)
    target = reference.parse(repository)
    target = target.tagged(tag_name) if tag_name else target.with_default_tag()
    set_tag(host, image, target, variants.index_digest(host.images, ref))


def set_tag(host: ImageHost, image: Image, target: Reference, index: str = "") -> str | None:
    """Name an image, as one of an index, and say so; returns the ID of the image that had the name before."""
    previous = host.images.tag(image.id, target, index)
    image_event(host, "tag", image, target.familiar)
    return previous


def remove(
    host: ImageHost, ref: str, *, force: bool = False, prune: bool = True, platforms: Sequence[Platform] = ()
) -> Removal:
    """`docker rmi`: the image, or some platforms of the index that it came through."""
    remover = Remover(host.images, list(host.image_users()))
    if platforms:
        removal = remover.remove_platforms(ref, platforms, force=force)
    else:
        removal = remover.remove(ref, force=force, prune_parents=prune)
    _publish_removal(host, removal)
    return removal


def prune(host: ImageHost, filters: Filters) -> Removal:
    """`docker image prune`."""
    check(filters, PRUNE_FILTERS)
    removal = Remover(host.images, list(host.image_users())).prune(filters)
    _publish_removal(host, removal)
    host.publish_image("prune", "", {"reclaimed": str(removal.freed)})
    return removal


def _publish_removal(host: ImageHost, removal: Removal) -> None:
    actions = {"untagged": "untag", "deleted": "delete"}
    for record in removal.records:
        if record.image:
            host.publish_image(actions[record.kind], record.image, {"name": record.image})


async def import_image(
    host: ImageHost, body: AsyncIterator[bytes], options: ImportOptions, target: Reference | None
) -> Image:
    """`docker import`: a tar of a root file system, compressed or not, becomes an image of one layer."""
    config = import_config(options)
    async with fed(body) as stream:
        layer = await host.images.layers.ingest(stream, None)
    image = host.images.add(configs.encode(with_layer(config, layer)), [layer])
    if target is not None:
        set_tag(host, image, target.with_default_tag())
    image_event(host, "import", image)
    return image


async def load(
    host: ImageHost, body: AsyncIterator[bytes], report: Report, platforms: Sequence[Platform] = ()
) -> list[Image]:
    """`docker load`: every image of a docker-archive or OCI layout; of an index the given platforms, or this host's."""
    async with spooled(body, host.paths.tmp) as spool:
        with tempfile.TemporaryFile(dir=host.paths.tmp) as plain:
            is_compressed = await asyncio.to_thread(decompress_archive, spool, plain)
            archive = await asyncio.to_thread(_open_archive, plain if is_compressed else spool)
            return [await load_one(host, archive, found, report) for found in archive.images(platforms)]


def _open_archive(file: BinaryIO) -> Archive:
    file.seek(0)
    return Archive(file, disposable=True)


async def load_one(host: ImageHost, archive: Archive, found: ArchivedImage, report: Report) -> Image:
    """Load one image of an open archive and name it."""
    config = configs.parse(found.config)
    if len(config.rootfs.diff_ids) != len(found.layers):
        raise DataLoss(f"invalid manifest, layers length mismatch: expected {len(found.layers)}, "
                       f"got {len(config.rootfs.diff_ids)}")  # fmt: skip
    layers: list[Layer] = []
    expected = _original_digests(found)
    with host.images.hold([*expected, *digests.chain_ids(config.rootfs.diff_ids)]):
        for name, diff_id, digest in zip(found.layers, config.rootfs.diff_ids, expected, strict=True):
            parent = layers[-1].chain_id if layers else None
            layers.append(await _load_layer(host, archive, name, diff_id, digest, parent, report))
        image = host.images.add(found.config, layers, manifest=found.manifest)
    if found.index:
        variants.note(host.images, found.index, image)
        await _load_attestations(host, archive, found, image)
    image_event(host, "load", image)
    for target in found.names:
        previous = host.images.tag(image.id, target, digests.of_bytes(found.index) if found.index else "")
        if previous:
            report(Progress(stream=f"The image {target.familiar} already exists, renaming the old one with ID "
                                   f"{previous} to empty string\n"))  # fmt: skip
        report(Progress(stream=f"Loaded image: {target.familiar}\n"))
    if not found.names and not found.variant:
        report(Progress(stream=f"Loaded image ID: {image.id}\n"))
    return image


async def _load_attestations(host: ImageHost, archive: Archive, found: ArchivedImage, image: Image) -> None:
    index = manifests.parse(found.index or b"")
    assert isinstance(index, Index)
    for entry in attestations.about(index, digests.of_bytes(found.manifest or b"")):
        kept = archive.manifest_of(entry)
        if kept is None:
            continue
        with host.images.hold([part.digest for part in attestations.parts(kept[1])]):
            for part in attestations.parts(kept[1]):
                await asyncio.to_thread(_copy_blob, host, archive, part)
            attestations.note(host.images, image.id, *kept)


def _copy_blob(host: ImageHost, archive: Archive, part: Descriptor) -> None:
    source = archive.open_blob(part.digest)
    with host.images.store.writer(part.digest) as writer:
        while chunk := source.read(CHUNK):
            writer.write(chunk)
        writer.commit()


def _original_digests(found: ArchivedImage) -> list[str]:
    """The digests that an archive's own manifest gives its layers; empty strings where it has none."""
    document = manifests.parse(found.manifest) if found.manifest else None
    if not isinstance(document, Manifest):
        return [""] * len(found.layers)
    return [layer.digest for layer in document.layers]


async def _load_layer(
    host: ImageHost, archive: Archive, name: str, diff_id: str, digest: str, parent: str | None, report: Report
) -> Layer:  # fmt: skip
    known = host.images.known_layer(chain_on(parent, diff_id), digest)
    if known is not None:
        return known
    total = archive.size(name)
    short = digests.short(diff_id)
    report(_loading(short, 0, total))
    layer = await host.images.layers.load(archive.open_layer(name), diff_id, parent)
    if digest and layer.descriptor.digest != digest:
        raise DataLoss(f"blob {digest} is damaged")
    report(_loading(short, total, total))
    return layer


def _loading(short: str, current: int, total: int) -> Progress:
    return Progress(status="Loading layer", progress_detail=ProgressDetail(current, total), id=short)


def select(host: ImageHost, refs: Sequence[str], platforms: Sequence[Platform] = ()) -> list[Saved]:
    """What `save` will write; raises NotFound before a byte is sent."""
    return select_saved(host.images, refs, platforms)


async def save(host: ImageHost, selection: list[Saved]) -> AsyncIterator[bytes]:
    """`docker save`: the archive, chunk by chunk."""
    for saved in selection:
        image_event(host, "save", saved.image)
    async for chunk in in_threads(archive_of(host.images, selection)):
        yield chunk
