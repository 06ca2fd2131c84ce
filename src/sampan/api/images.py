"""Images: list, show, name, remove, load, save, import."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET

from ..engine import images
from ..engine.engine import Engine
from ..errors import InvalidArgument
from ..image import listing, variants
from ..image.importing import ImportOptions
from ..image.record import Image, Removal
from ..model.progress import Progress, Report
from ..oci import platform as platforms
from ..oci import reference
from ..oci.reference import Reference
from ..wire import image as wire
from ..wire.container import GraphDriver
from . import platform, progress
from .call import Call
from .router import Route
from .versions import Version

_RUNTIME_FIELDS: Final = {
    "Hostname": "", "Domainname": "", "AttachStdin": False, "AttachStdout": False, "AttachStderr": False, "Tty": False,
    "OpenStdin": False, "StdinOnce": False, "Image": "",
}  # fmt: skip
"""A container's fields in an image's configuration: always empty, and gone since 1.50."""


async def list_images(call: Call) -> None:
    query = call.query
    found = images.list_images(call.engine, query.filters(), all_images=query.flag("all"))
    used = Counter(container.image_id for container in call.engine.containers)
    shared = listing.shared_sizes(call.engine.images.all()) if query.flag("shared-size") else {}
    rows = [summary(image, call.version, used, shared) for image in found]
    if call.version >= (1, 47) and query.flag("manifests"):
        for row, image in zip(rows, found, strict=True):
            row.manifests = manifest_summaries(call.engine, image)
    await call.json(rows)


def summary(image: Image, version: Version, used: Counter[str], shared: dict[str, int]) -> wire.ImageSummary:
    """One row of `docker images`."""
    return wire.ImageSummary(
        containers=used[image.id] if version >= (1, 51) else -1,
        created=int(image.created_at),
        id=image.id,
        labels=image.config.config.labels if image.config.config else None,
        parent_id=image.parent,
        repo_digests=image.repo_digests if version >= (1, 43) else image.repo_digests or None,
        repo_tags=image.repo_tags if version >= (1, 43) else image.repo_tags or None,
        shared_size=shared.get(image.id, -1),
        size=image.size,
        virtual_size=image.size if version < (1, 44) else UNSET,
    )


async def inspect(call: Call) -> None:
    query, version = call.query, call.version
    image = images.inspect(call.engine, call.path["name"], platform.one(call, (1, 49)))
    shown = document(call.engine, image, version)
    if version >= (1, 48) and query.flag("manifests"):
        shown.manifests = manifest_summaries(call.engine, image)
    await call.json(shown)


def manifest_summaries(engine: Engine, image: Image) -> list[wire.ManifestSummary]:
    """`manifests=1`: every entry of the index that the image came through, or its one manifest."""
    return [
        wire.ManifestSummary(
            id=found.descriptor.digest,
            descriptor=found.descriptor,
            available=found.available,
            size=wire.ManifestSize(total=found.content + found.unpacked, content=found.content),
            kind=found.kind,
            image_data=wire.ManifestImage(
                platform=found.platform, size=wire.UnpackedSize(unpacked=found.unpacked),
                containers=[one.id for one in engine.containers if found.image and one.image_id == found.image.id],
            ) if found.kind == "image" else UNSET,
            attestation_data={"For": found.attests} if found.kind == "attestation" else UNSET,
        )
        for found in variants.listed(engine.images, image)
    ]  # fmt: skip


def document(engine: Engine, image: Image, version: Version) -> wire.ImageInspect:
    """`docker image inspect`."""
    config = image.config
    old = version < (1, 45)
    return wire.ImageInspect(
        id=image.id,
        repo_tags=image.repo_tags,
        repo_digests=image.repo_digests,
        parent=image.parent,
        comment=config.comment,
        created=config.created or ("0001-01-01T00:00:00Z" if version < (1, 44) else UNSET),
        container=config.container if old and config.container else UNSET,
        container_config={**_RUNTIME_FIELDS, **_EMPTY_CONFIG} if old else UNSET,
        docker_version=config.docker_version,
        author=config.author,
        architecture=config.architecture,
        variant=config.variant or UNSET,
        os=config.os,
        os_version=config.os_version or UNSET,
        size=image.size,
        virtual_size=image.size if version < (1, 44) else UNSET,
        graph_driver=_graph_driver(engine, image),
        root_fs=wire.RootFS(type=config.rootfs.type, layers=config.rootfs.diff_ids),
        metadata=wire.Metadata(last_tag_time=image.tagged_at),
        config=_config(image, version),
    )


_EMPTY_CONFIG: Final[dict[str, Any]] = {
    "User": "", "Env": None, "Cmd": None, "Volumes": None, "WorkingDir": "", "Entrypoint": None, "OnBuild": None,
    "Labels": None,
}  # fmt: skip


def _config(image: Image, version: Version) -> dict[str, Any] | None:
    kept = image.config.config
    if kept is None:
        return None
    shown: dict[str, Any] = msgspec.to_builtins(kept)
    return dict(sorted(({**_RUNTIME_FIELDS, **shown} if version < (1, 50) else shown).items()))


def _graph_driver(engine: Engine, image: Image) -> GraphDriver:
    driver = engine.snapshots
    top = image.chain_id
    upper = driver.upper(top) if top and driver.exists(top) else None
    if upper is None:
        return GraphDriver(data=None, name=driver.name)
    base = upper.rpartition("/")[0]
    data = {"MergedDir": f"{base}/merged", "UpperDir": upper, "WorkDir": f"{base}/work"}
    lowers = driver.lowers(top)
    return GraphDriver(data={"LowerDir": ":".join(lowers), **data} if lowers else data, name=driver.name)


async def history(call: Call) -> None:
    rows = [
        wire.HistoryItem(
            comment=line.comment, created=line.created, created_by=line.created_by, id=line.id, size=line.size,
            tags=line.tags,
        )
        for line in images.history(call.engine, call.path["name"], platform.one(call, (1, 48)))
    ]  # fmt: skip
    await call.json(rows)


async def tag(call: Call) -> None:
    images.tag(call.engine, call.path["name"], call.query.text("repo"), call.query.text("tag"))
    await call.empty(201)


async def remove(call: Call) -> None:
    if not call.path["name"].strip():
        raise InvalidArgument("image name cannot be blank")
    query = call.query
    removal = images.remove(
        call.engine, call.path["name"], force=query.flag("force"), prune=not query.flag("noprune"),
        platforms=platform.every(call, "platforms", (1, 50)),
    )  # fmt: skip
    await call.json(removed(removal))


def removed(removal: Removal) -> list[wire.DeleteItem]:
    """What a removal did, as the API lists it."""
    return [
        wire.DeleteItem(untagged=record.ref) if record.kind == "untagged" else wire.DeleteItem(deleted=record.ref)
        for record in removal.records
    ]


async def prune(call: Call) -> None:
    removal = images.prune(call.engine, call.query.filters())
    await call.json({"ImagesDeleted": removed(removal) or None, "SpaceReclaimed": removal.freed})


async def load(call: Call) -> None:
    quiet = call.query.flag("quiet", default=True)
    wanted = platform.every(call, "platform", (1, 48))

    async def work(report: Report) -> None:
        def loud(line: Progress) -> None:
            if not quiet or line.progress_detail is None:
                report(line)

        await images.load(call.engine, call.chunks(), loud, wanted)

    await progress.stream(call, work)


async def save(call: Call) -> None:
    await _save(call, call.query.all("names"))


async def save_one(call: Call) -> None:
    await _save(call, [call.path["name"]])


async def _save(call: Call, names: Sequence[str]) -> None:
    if not names:
        raise InvalidArgument("no image names given")
    selection = images.select(call.engine, names, platform.every(call, "platform", (1, 48)))
    await call.stream_bytes(images.save(call.engine, selection), "application/x-tar")


async def create(call: Call) -> None:
    """Pull (`fromImage`) or import (`fromSrc`)."""
    if "fromImage" not in call.query and "fromSrc" not in call.query:
        await call.read_form()
    if call.query.text("fromImage"):
        from .registry import pull  # registries' client, which an import does without

        await pull(call)
    elif call.query.text("fromSrc"):
        await import_image(call)
    else:
        raise InvalidArgument("one of fromImage and fromSrc is needed")


async def import_image(call: Call) -> None:
    query = call.query
    source = query.text("fromSrc")
    target = _target(query.text("repo"), query.text("tag"))
    text = query.text("platform")
    options = ImportOptions(
        platform=platforms.parse(text) if text else platforms.host(),
        source=source,
        message=query.text("message"),
        changes=query.all("changes"),
    )

    async def work(report: Report) -> None:
        if source != "-":
            report(Progress(status=f"Downloading from {source}"))
        image = await images.import_image(call.engine, _root_file_system(call, source), options, target)
        report(Progress(status=image.id))

    await progress.stream(call, work)


def _root_file_system(call: Call, source: str) -> AsyncIterator[bytes]:
    if source == "-":
        return call.chunks()
    from ..engine.download import download  # urllib.request: half a megabyte

    return download(source)


def _target(repository: str, tag_name: str) -> Reference | None:
    if not repository:
        return None
    target = reference.parse(repository)
    if target.digest:
        raise InvalidArgument("cannot import digest reference")
    return target.tagged(tag_name) if tag_name else target.with_default_tag()


ROUTES: list[Route] = [
    ("GET", "/images/json", list_images),
    ("POST", "/images/create", create),
    ("GET", "/images/get", save),
    ("POST", "/images/load", load),
    ("POST", "/images/prune", prune),
    ("GET", "/images/{name:*}/get", save_one),
    ("GET", "/images/{name:*}/json", inspect),
    ("GET", "/images/{name:*}/history", history),
    ("POST", "/images/{name:*}/tag", tag),
    ("DELETE", "/images/{name:*}", remove),
]
