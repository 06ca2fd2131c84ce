"""`docker push`: every layer the cheapest way, then configuration and manifest. Digests never change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from .. import faults
from ..errors import NotFound
from ..image import attestations, variants
from ..image.images import Images
from ..image.layers import Layer
from ..image.record import Image
from ..model.progress import Progress, ProgressDetail, Report, layer_status
from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci import reference as references
from ..oci.manifest import Descriptor, Manifest
from ..oci.platform import Platform
from ..oci.reference import Reference
from ..registry.config import ANONYMOUS, AuthConfig
from ..registry.failures import RegistryFailure, translate_push
from ..registry.repository import Repository
from ..registry.upload import EXISTS, MOUNTED, Upload
from .imagehost import ImageHost
from .pullprogress import measured
from .tasks import run_all

if TYPE_CHECKING:
    from ..registry.transport import Transport

_INTERVAL = 0.1


class PushRequest(Struct, frozen=True):
    """`ref` without a tag means every tag of the repository here."""

    ref: Reference
    auth: AuthConfig = ANONYMOUS
    platform: Platform | None = None


def reference_of(images: Images, name: str, tag: str) -> Reference:
    """What a push of NAME[:TAG] means: of a short name's candidates the first that is here. No tag means all."""
    if tag:
        return images.reference(name, tag)
    candidates = images.short_names.candidates(name)
    known = {held.name for image in images.all() for held in image.tags} if len(candidates) > 1 else set()
    return next((candidate for candidate in candidates if candidate.name in known), candidates[0])


async def push(host: ImageHost, request: PushRequest, report: Report) -> None:
    """Push one tag, or all; raises NotFound when there is none of the name."""
    report(Progress(status=f"The push refers to repository [{request.ref.name}]"))
    targets = _targets(host, request)

    async def work(transport: Transport) -> None:
        for target, image in targets:
            pushing = _Push(host, Repository(transport, target.path), target, report)
            await pushing.run(image, single=request.platform is not None)

    try:
        await host.registries.connect(request.ref.domain, request.auth, work, mirrors=False)
    except RegistryFailure as error:
        raise translate_push(error, request.ref) from error


def _targets(host: ImageHost, request: PushRequest) -> list[tuple[Reference, Image]]:
    name = request.ref
    if name.tag:
        return [(name, _named(host, name, request.platform))]
    found = [(tag, image) for image in host.images.all() for tag in image.tags if tag.name == name.name]
    if not found:
        raise _missing(name)
    return sorted(found, key=lambda pair: pair[0].tag)


def _named(host: ImageHost, name: Reference, wanted: Platform | None) -> Image:
    try:
        host.images.get(name.familiar)
    except NotFound:
        raise _missing(name) from None
    return variants.for_platform(host.images, name.familiar, wanted)


def _missing(name: Reference) -> NotFound:
    return NotFound(f"An image does not exist locally with the tag: {name.familiar_name}")


class _Push:
    """One tag."""

    def __init__(self, host: ImageHost, repository: Repository, target: Reference, report: Report) -> None:
        self._host = host
        self._repository = repository
        self._target = target
        self._report = report

    async def run(self, image: Image, *, single: bool) -> None:
        """The image, or the whole index that it came through where all of it is here and no platform was named."""
        index = None if single else variants.named_index(self._host.images, self._target.familiar)
        if index is None or not index.whole:
            await self._image(image, self._target.tag)
            if index is not None:
                self._report(Progress(progress_detail=ProgressDetail(), aux=self._instead_of(index, image)))
            return
        for digest, member in index.images.items():
            await self._image(member, digest)
        for digest in index.attestations:
            await self._attestation(digest)
        media_type = manifests.media_type_of(index.document)
        digest = await self._repository.put_manifest(self._target.tag, index.data, media_type)
        self._finish(image, digest, len(index.data))

    def _instead_of(self, index: variants.KeptIndex, image: Image) -> dict[str, object]:
        """What tells the client why the registry has another digest than the index that was pulled."""
        return {
            "manifestPushedInsteadOfIndex": True,
            "originalIndex": Descriptor(manifests.media_type_of(index.document), index.digest, len(index.data)),
            "selectedManifest": variants.single(self._host.images, image),
        }

    async def _image(self, image: Image, name: str) -> None:
        """Everything of one platform; its manifest under a tag, or under its digest as a part of an index."""
        layers = list({layer.descriptor.digest: layer for layer in image.layers}.values())
        for layer in reversed(layers):
            self._report(layer_status(digests.short(layer.diff_id), "Preparing"))
        data, document = self._host.images.manifest(image)
        with self._host.images.store.lease([image.id, image.manifest]):
            await run_all(self._layer(layer) for layer in layers)
            config = Upload(self._host.images.store, document.config)
            await config.run(self._repository, self._sources(image.id))
        faults.point("push.uploaded")
        digest = await self._repository.put_manifest(name, data, manifests.media_type_of(document))
        faults.point("push.accepted")
        self._host.images.add_origin([image.id, *(layer.descriptor.digest for layer in layers)], self._target.name)
        if name == self._target.tag:
            self._finish(image, digest, len(data))

    async def _attestation(self, digest: str) -> None:
        store = self._host.images.store
        data = store.read(digest, manifests.MAX_MANIFEST_SIZE)
        document = manifests.parse(data)
        assert isinstance(document, Manifest)
        for part in attestations.parts(document):
            await Upload(store, part).run(self._repository, self._sources(part.digest))
        await self._repository.put_manifest(digest, data, manifests.media_type_of(document))

    async def _layer(self, layer: Layer) -> None:
        short = digests.short(layer.diff_id)
        registries = self._host.registries
        if registries.uploads.locked():
            self._report(layer_status(short, "Waiting"))
        upload = Upload(self._host.images.store, layer.descriptor)
        ticking = asyncio.create_task(self._ticks(short, upload))
        key = f"push {self._target.name} {layer.descriptor.digest}"
        try:
            async with registries.locks.hold(key), registries.uploads:
                how = await upload.run(self._repository, self._sources(layer.descriptor.digest))
        finally:
            ticking.cancel()
        self._report(layer_status(short, _outcome(how, upload)))

    def _sources(self, digest: str) -> list[str]:
        """Other repositories of the same registry that are known to have the blob."""
        known = [references.parse(name) for name in self._host.images.origins(digest)]
        target = self._target
        return [name.path for name in known if name.domain == target.domain and name.path != target.path][:3]

    async def _ticks(self, short: str, upload: Upload) -> None:
        said = -1
        while True:
            await asyncio.sleep(_INTERVAL)
            if upload.current and upload.current != said:
                said = upload.current
                self._report(measured(short, "Pushing", said, upload.descriptor.size))

    def _finish(self, image: Image, digest: str, size: int) -> None:
        target = self._target
        self._host.images.add_digest(image.id, target, digest)
        self._host.publish_image("push", target.familiar, {**image.labels, "name": target.familiar_name})
        self._report(Progress(status=f"{target.tag}: digest: {digest} size: {size}"))
        result = {"Tag": target.tag, "Digest": digest, "Size": size}
        self._report(Progress(progress_detail=ProgressDetail(), aux=result))


def _outcome(how: str, upload: Upload) -> str:
    if how == EXISTS:
        return "Layer already exists"
    return f"Mounted from {upload.source}" if how == MOUNTED else "Pushed"
