"""`docker pull`: registry, store, snapshots and database joined.

manifest ─► configuration ─► layers: all downloads at once (within the limit) ─► unpacked in order, while bytes come
         ─► the database row and the tag, last
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from .. import faults
from ..cas.threads import run_in_thread
from ..errors import Forbidden, InvalidArgument, NotFound, SampanError, Unauthorized
from ..image import attestations, variants
from ..image.archive import check_platform, choose
from ..image.layers import Layer, chain_on
from ..image.record import Image
from ..model.progress import Progress, Report, layer_status
from ..oci import config as configs
from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci import platform as platforms
from ..oci.config import ImageConfig
from ..oci.manifest import Descriptor, Index, Manifest
from ..oci.platform import Platform
from ..oci.reference import Reference
from ..registry.config import ANONYMOUS, AuthConfig, AuthFor
from ..registry.download import Download, DownloadReader
from ..registry.failures import RegistryFailure, translate_pull
from ..registry.repository import RemoteManifest, Repository
from .imagehost import ImageHost
from .pullprogress import LayerProgress, keep_reporting
from .tasks import cancel_all

if TYPE_CHECKING:
    from ..registry.transport import Transport

_FOREIGN = ("foreign", "nondistributable")
_CONFIG_TYPES = frozenset({manifests.OCI_CONFIG, manifests.DOCKER_CONFIG, "application/octet-stream", "text/html", ""})
"""Docker takes the last three for configurations, too: older registries sent them."""


class PullRequest(Struct, frozen=True):
    """`ref` without a tag means `latest`, or every tag with `all_tags`.

    `others`: what a short name may mean as well, asked in turn when the registry before does not have it.
    `auth_for` gives the credentials by registry; without it `auth` goes to the registry of `ref` alone.
    """

    ref: Reference
    platform: Platform | None = None
    auth: AuthConfig = ANONYMOUS
    all_tags: bool = False
    others: tuple[Reference, ...] = ()
    auth_for: AuthFor | None = None

    async def choices(self) -> list[PullRequest]:
        """One request for each registry that is to be asked."""
        return [replace(self, ref=ref, others=(), auth=await self._auth(ref)) for ref in (self.ref, *self.others)]

    async def _auth(self, ref: Reference) -> AuthConfig:
        if self.auth_for is not None:
            return await self.auth_for(ref.domain)
        return self.auth if ref.domain == self.ref.domain else ANONYMOUS


async def pull(host: ImageHost, request: PullRequest, report: Report) -> list[Image]:
    """Pull one reference, or all tags; raises NotFound, Unauthorized and others in Docker's words.

    Of several registries the next is asked only where the one before says that it has no such image: one that is out
    of reach must not hand its names to another.
    """
    choices = await request.choices()
    if len(choices) == 1:
        return await _pull_all(host, choices[0], report)
    refusals = []
    for choice in choices:
        report(Progress(status=f"Trying to pull {choice.ref.with_default_tag()}..."))
        try:
            return await _pull_all(host, choice, report)
        except (NotFound, Unauthorized, Forbidden) as error:
            refusals.append(f"{choice.ref.domain}: {error}")
            report(Progress(status=refusals[-1]))
        except SampanError as error:
            raise type(error)(f"{choice.ref.domain}: {error}") from error
    raise NotFound(f"{request.ref.path} is in none of the registries: " + "; ".join(refusals))


async def _pull_all(host: ImageHost, request: PullRequest, report: Report) -> list[Image]:
    if request.all_tags and not (request.ref.tag or request.ref.digest):
        refs = [request.ref.tagged(tag) for tag in await _tags(host, request)]
    else:
        refs = [request.ref.with_default_tag()]
    return [await _pull_one(host, replace(request, ref=ref), report) for ref in refs]


async def _tags(host: ImageHost, request: PullRequest) -> list[str]:
    async def work(transport: Transport) -> list[str]:
        return await Repository(transport, request.ref.path).tags()

    try:
        return await host.registries.connect(request.ref.domain, request.auth, work)
    except RegistryFailure as error:
        raise translate_pull(error, request.ref) from error


async def _pull_one(host: ImageHost, request: PullRequest, report: Report) -> Image:
    async def work(transport: Transport) -> Image:
        return await _Pull(host, request, Repository(transport, request.ref.path), report).run()

    try:
        return await host.registries.connect(request.ref.domain, request.auth, work)
    except RegistryFailure as error:
        raise translate_pull(error, request.ref) from error


class _Pull:
    """One reference from one endpoint."""

    def __init__(self, host: ImageHost, request: PullRequest, repository: Repository, report: Report) -> None:
        self._host = host
        self._images = host.images
        self._ref = request.ref
        self._wanted = request.platform
        self._repository = repository
        self._report = report

    async def run(self) -> Image:
        found = await self._repository.manifest(self._ref.digest or self._ref.tag)
        document = manifests.parse(found.data, found.descriptor.media_type)
        shown = self._ref.tag or self._ref.digest
        self._report(Progress(status=f"Pulling from {self._ref.path}", id=shown))
        top, index = found, document
        if isinstance(document, Index):
            found, document = await self._from_index(document)
        self._check(document)
        with self._images.store.lease(_blobs(found.descriptor.digest, document)):
            image, fresh = await self._image(found, document)
            if isinstance(index, Index):
                variants.note(self._images, top.data, image)
                await self._attestations(index, found.descriptor.digest, image)
        through = top.descriptor.digest if isinstance(index, Index) else ""
        return self._finish(image, top.descriptor.digest, through, fresh)

    async def _from_index(self, index: Index) -> tuple[RemoteManifest, Manifest]:
        for _ in range(4):
            chosen = _choose(index, self._wanted)
            found = await self._repository.manifest(chosen.digest)
            document = manifests.parse(found.data, chosen.media_type)
            if isinstance(document, Manifest):
                return found, document
            index = document
        raise InvalidArgument("indexes are nested too deep")

    async def _attestations(self, index: Index, digest: str, image: Image) -> None:
        """What the index states about the image; registries and copies that left it out are no failure."""
        here = attestations.kept(self._images, image.id)
        for entry in attestations.about(index, digest):
            if entry.digest in here:
                continue
            try:
                found = await self._repository.manifest(entry.digest)
            except RegistryFailure as error:
                if error.status != 404:
                    raise
                continue
            document = manifests.parse(found.data, entry.media_type)
            if isinstance(document, Manifest):
                await self._keep(document, found.data, image)

    async def _keep(self, document: Manifest, data: bytes, image: Image) -> None:
        registries, parts = self._host.registries, attestations.parts(document)
        with self._images.store.lease([part.digest for part in parts]):
            for part in parts:
                download = Download(self._images.store, part)
                await download.run(self._repository, registries.downloads, registries.locks)
            attestations.note(self._images, image.id, data, document)

    def _check(self, document: Manifest) -> None:
        if document.config.media_type not in _CONFIG_TYPES:
            raise InvalidArgument(
                f'Encountered remote "{document.config.media_type}"(unknown) when fetching: not an image'
            )
        for layer in document.layers:
            if layer.urls or any(word in layer.media_type for word in _FOREIGN):
                raise InvalidArgument(f"layer {layer.digest} is foreign ({layer.media_type}): not supported")

    async def _image(self, found: RemoteManifest, document: Manifest) -> tuple[Image, bool]:
        known = self._known(document)
        if known is not None:
            check_platform(self._ref.familiar, known.config.platform, self._wanted)
            return known, False
        data = await self._config(document.config)
        config = configs.parse(data)
        self._check_config(config, document)
        faults.point("pull.configured")
        with self._images.hold(
            [*_blobs(found.descriptor.digest, document), *digests.chain_ids(config.rootfs.diff_ids)]
        ):
            layers = await self._layers(config.rootfs.diff_ids, document.layers)
            faults.point("pull.unpacked")
            return self._images.add(data, layers, manifest=found.data), True

    def _known(self, document: Manifest) -> Image | None:
        """The image, when it is here with all its layers: a damaged one is pulled again."""
        try:
            image = self._images.by_id(document.config.digest)
        except NotFound:
            return None
        whole = all(self._images.known_layer(layer.chain_id) for layer in image.layers)
        return image if whole else None

    async def _config(self, descriptor: Descriptor) -> bytes:
        if self._images.store.exists(descriptor.digest):
            return self._images.store.read(descriptor.digest, configs.MAX_CONFIG_SIZE)
        return await self._repository.blob(descriptor, configs.MAX_CONFIG_SIZE)

    def _check_config(self, config: ImageConfig, document: Manifest) -> None:
        if len(config.rootfs.diff_ids) != len(document.layers):
            raise InvalidArgument("layers from manifest don't match image configuration")
        for diff_id in config.rootfs.diff_ids:
            digests.parse(diff_id)
        check_platform(self._ref.familiar, config.platform, self._wanted)
        if config.os and config.os != "linux":
            raise InvalidArgument(f'image operating system "{config.os}" cannot be used on this platform')

    async def _layers(self, diff_ids: list[str], descriptors: list[Descriptor]) -> list[Layer]:
        chain = digests.chain_ids(diff_ids)
        known = [
            self._images.known_layer(chain_id, descriptor.digest)
            for chain_id, descriptor in zip(chain, descriptors, strict=True)
        ]
        for descriptor, layer in zip(descriptors, known, strict=True):
            status = "Already exists" if layer else "Pulling fs layer"
            self._report(layer_status(digests.short(descriptor.digest), status))
        progress = [
            None if layer else LayerProgress(Download(self._images.store, descriptor))
            for descriptor, layer in zip(descriptors, known, strict=True)
        ]
        layers: list[Layer] = []
        async with self._downloading([item for item in progress if item]):
            for item, diff_id, layer in zip(progress, diff_ids, known, strict=True):
                parent = layers[-1].chain_id if layers else None
                layers.append(layer or await self._unpack(_given(item), diff_id, parent))
        return layers

    @asynccontextmanager
    async def _downloading(self, items: list[LayerProgress]) -> AsyncIterator[None]:
        """All downloads and their reports, while the body runs; nothing of them is left when it ends."""
        registries = self._host.registries
        work = {item.download.descriptor.digest: item.download for item in items}
        first = [download.run(self._repository, registries.downloads, registries.locks) for download in work.values()]
        tasks = [asyncio.ensure_future(task) for task in first]
        # A layer that occurs twice is downloaded once.
        for item in items:
            item.download = work[item.download.descriptor.digest]
        reporting = asyncio.ensure_future(keep_reporting(items, self._report))
        try:
            yield
            await asyncio.gather(*tasks)
        except BaseException:
            await cancel_all(tasks)
            failed = [task.exception() for task in tasks if not task.cancelled()]
            first_error = next((error for error in failed if error is not None), None)
            if first_error is not None:
                raise first_error from None  # the readers' complaints are but its echo
            raise
        finally:
            await cancel_all([reporting])

    async def _unpack(self, item: LayerProgress, diff_id: str, parent: str | None) -> Layer:
        chain_id = chain_on(parent, diff_id)
        descriptor = item.download.descriptor
        async with self._host.registries.locks.hold(f"unpack {chain_id}"):
            size = self._images.layers.snapshots.size(chain_id)
            if size is not None:  # somebody else's pull was quicker
                await _until_complete(item.download)
                item.finish(self._report)
                return Layer(descriptor, diff_id, chain_id, size)
            item.reader = DownloadReader(item.download)
            try:
                layer = await self._images.layers.unpack(item.reader, descriptor, diff_id, parent)
            except Exception:
                # Was it the image, or the transfer? Wrong bytes are dropped only once the whole blob was hashed.
                await _until_complete(item.download)
                raise
            finally:
                item.reader.close()
        item.finish(self._report)
        return layer

    def _finish(self, image: Image, digest: str, through: str, fresh: bool) -> Image:
        images, ref = self._images, self._ref
        faults.point("pull.added")
        images.add_origin([image.id, *(layer.descriptor.digest for layer in image.layers)], ref.name)
        previous = self._tagged()
        images.add_digest(image.id, ref, digest)
        name = replace(ref, digest="")
        if ref.tag and (previous != image.id or variants.index_digest(images, name.familiar) != through):
            images.tag(image.id, name, through)
        image = images.by_id(image.id)
        self._host.publish_image("pull", ref.familiar, {**image.labels, "name": ref.familiar_name})
        newer = fresh or (bool(ref.tag) and previous != image.id)
        self._report(Progress(status=f"Digest: {digest}"))
        what = "Downloaded newer image for" if newer else "Image is up to date for"
        self._report(Progress(status=f"Status: {what} {ref.familiar}"))
        return image

    def _tagged(self) -> str | None:
        try:
            return self._images.resolve(self._ref.familiar)
        except SampanError:
            return None


async def _until_complete(download: Download) -> None:
    reader = DownloadReader(download)
    try:
        await run_in_thread(lambda: download.wait_until_complete(reader), reader.interrupt)
    finally:
        reader.close()


def _given(item: LayerProgress | None) -> LayerProgress:
    assert item is not None
    return item


def _blobs(manifest: str, document: Manifest) -> list[str]:
    return [manifest, document.config.digest, *(layer.digest for layer in document.layers)]


def _choose(index: Index, wanted: Platform | None) -> Descriptor:
    try:
        return choose(index, wanted)
    except NotFound as error:
        target = wanted or platforms.host()
        raise NotFound(
            f"no matching manifest for {target} in the manifest list entries: no match for platform in manifest: "
            "not found"
        ) from error
