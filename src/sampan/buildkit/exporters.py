"""What becomes of a build's result: an image of the engine's, or a tree or an archive that goes to the client."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from ..build import exporting
from ..build.imageform import ImageForm, Provenance, parse_form
from ..build.layering import shown
from ..build.result import Result
from ..build.sources import DiskTree, SourceTree
from ..errors import InvalidArgument
from ..image.record import Image
from ..model.progress import Progress
from ..oci import reference
from ..oci.manifest import OCI_INDEX
from ..oci.reference import Reference
from .attrs import is_true
from .sending import send_stream, send_tree
from .transfers import counting

if TYPE_CHECKING:
    from ..build.storing import Built
    from .proto.control_pb2 import Exporter
    from .solves import Solve
    from .status import Step


@dataclass(frozen=True)
class Export:
    """A result and what is to be done with it; `number` is the exporter's place among the build's."""

    solve: Solve
    built: Built
    exporter: Exporter
    number: str


@dataclass(frozen=True)
class _Kind:
    """A kind of exporter. `listed`: the engine lists the image."""

    run: Callable[[Export], Awaitable[dict[str, str]]]
    is_image: bool = False
    listed: bool = False


def names_of(exporter: Exporter) -> list[Reference]:
    """The image's names."""
    texts = filter(None, exporter.Attrs.get("name", "").split(","))
    return [reference.parse(text) for text in texts]


async def _image(export: Export) -> dict[str, str]:
    """The image is in the store and has its tags already."""
    names, described = names_of(export.exporter), _described(export.built)
    if is_true(export.exporter.Attrs, "push"):
        if not names:
            raise InvalidArgument("tag is needed when pushing to registry")
        for name in names:
            await _push(export.solve, name.with_default_tag())
        described["containerimage.digest"] = _manifest(export.built)["containerimage.digest"]
    return described | ({"image.name": ",".join(map(str, names))} if names else {})


async def _push(solve: Solve, name: Reference) -> None:
    """With the client's credentials."""
    from ..engine.push import PushRequest, push  # the registry client costs memory until it is needed

    credentials = await solve.credentials(name.domain)
    with solve.progress.step(f"pushing {name} with docker") as step:

        def report(progress: Progress) -> None:
            if progress.id:
                done = progress.status in ("Pushed", "Layer already exists")
                step.show(f"pushing layer {progress.id}", *_amounts(progress), done=done)

        await push(solve.engine, PushRequest(name, credentials), report)


def _amounts(progress: Progress) -> tuple[int, int]:
    detail = progress.progress_detail
    return (detail.current, detail.total) if detail is not None else (0, 0)


def _tell_image(built: Built, step: Step) -> None:
    step.show("exporting layers", done=True)
    for image in built.images:
        step.show(f"writing image {image.id}", done=True)
    if built.index:
        step.show(f"exporting manifest list {built.index_digest}", done=True)


def _described(built: Built) -> dict[str, str]:
    """Digests as BuildKit's clients expect them: of one image its ID, of several their index."""
    if not built.index:
        return {"containerimage.digest": built.image.id, "containerimage.config.digest": built.image.id}
    descriptor = {"mediaType": OCI_INDEX, "digest": built.index_digest, "size": len(built.index)}
    config = {"containerimage.config.digest": built.image.id} if len(built.images) == 1 else {}
    return {"containerimage.digest": built.index_digest, **config, **_descriptor(descriptor)}


def _descriptor(value: Mapping[str, object]) -> dict[str, str]:
    return {"containerimage.descriptor": b64encode(msgspec.json.encode(value)).decode()}


async def _directory(export: Export) -> dict[str, str]:
    """The tree's files, one by one; of several platforms each in a directory of its own."""
    solve, built = export.solve, export.built
    session = await solve.session()
    async with AsyncExitStack() as stack:
        step = stack.enter_context(solve.progress.step("exporting to client directory"))
        trees: dict[str, SourceTree] = {}
        for image in built.images:
            path = await stack.enter_async_context(shown(solve.engine, Result(image.layers)))
            name = _directory_of(image) if len(built.images) > 1 else ""
            trees[name] = stack.enter_context(DiskTree(path, keep_owner=True))
        with counting(step, "copying files") as report:
            await send_tree(session, trees, export.number, report)
    return {}


def _directory_of(image: Image) -> str:
    return str(image.config.platform.normalized()).replace("/", "_")


async def _tarball(export: Export) -> dict[str, str]:
    """The tree as one archive."""
    with export.solve.progress.step("exporting to client tarball") as step:
        step.show("sending tarball")
        chunks = exporting.tree(export.solve.engine, export.built, "")
        await send_stream(await export.solve.session(), chunks, {}, export.number)
        step.show("sending tarball", done=True)
    return {}


async def _oci(export: Export) -> dict[str, str]:
    return await _archive(export, "exporting to oci image format")


async def _docker(export: Export) -> dict[str, str]:
    return await _archive(export, "exporting to docker image format")


async def _archive(export: Export, title: str) -> dict[str, str]:
    """The images as an OCI layout, which `docker load` reads as well."""
    built, names = export.built, names_of(export.exporter)
    described = _manifest(built) | ({"image.name": ",".join(map(str, names))} if names else {})
    with export.solve.progress.step(title) as step:
        _tell_image(built, step)
        step.show("sending tarball")
        tagged = [name.with_default_tag() for name in names]
        chunks = exporting.archive(export.solve.engine, built, tagged)
        await send_stream(await export.solve.session(), chunks, described, export.number)
        step.show("sending tarball", done=True)
    return described


def _manifest(built: Built) -> dict[str, str]:
    """Digests of what lies in an archive."""
    if built.index:
        return _described(built)
    found = built.manifests[0]
    descriptor = {"mediaType": found.media_type, "digest": found.digest, "size": found.size}
    digests = {"containerimage.digest": found.digest, "containerimage.config.digest": built.image.id}
    return {**digests, **_descriptor(descriptor)}


_OWN: Final = frozenset({"name", "dest", "push", "load", "tar"})
"""Attributes that do not concern the image's form."""
_KINDS: Final[Mapping[str, _Kind]] = {
    "moby": _Kind(_image, is_image=True, listed=True),
    "image": _Kind(_image, is_image=True, listed=True),
    "local": _Kind(_directory),
    "tar": _Kind(_tarball),
    "oci": _Kind(_oci, is_image=True),
    "docker": _Kind(_docker, is_image=True),
}


def kind_of(exporter: Exporter) -> _Kind:
    """What an exporter does; InvalidArgument for what there is not."""
    found = _KINDS.get(exporter.Type)
    if found is None:
        raise InvalidArgument(f"exporter {exporter.Type!r} could not be found")
    unknown = {name for name, value in exporter.Attrs.items() if value} - {"dest"}
    if unknown and not found.is_image:
        raise InvalidArgument(f"exporter {exporter.Type} knows no {min(unknown)}")
    if exporter.Attrs.get("tar") and not is_true(exporter.Attrs, "tar"):
        raise InvalidArgument(f"exporter {exporter.Type} gives archives only: tar=false is not supported")
    return found


def form_of(exporters: Iterable[Exporter], provenance: Provenance | None) -> ImageForm:
    """The form that the exporters of images want, which is one for all."""
    wanted = [
        parse_form({name: value for name, value in one.Attrs.items() if name not in _OWN})
        for one in exporters
        if kind_of(one).is_image
    ]
    if any(one != wanted[0] for one in wanted):
        raise InvalidArgument("the images of one build have the same form: exporters ask for several")
    return replace(wanted[0] if wanted else ImageForm(), provenance=provenance)
