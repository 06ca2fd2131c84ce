"""`/system/df`: what images, containers and volumes take on the disk."""

from __future__ import annotations

from collections import Counter

from ..build import pruning
from ..build.builder import builder_of
from ..engine import listing, volumes
from ..errors import InvalidArgument
from ..image.listing import shared_sizes
from ..model.times import rfc3339
from ..wire import image as wire_image
from ..wire import storage as wire_storage
from ..wire import system as wire
from ..wire.container import ContainerSummary
from . import images, shown
from .call import Call
from .volumes import document as volume_document

KINDS = ("container", "image", "volume", "build-cache")


async def disk_usage(call: Call) -> None:
    wanted = _kinds(call)
    usage = wire.DiskUsage(layers_size=0)
    if "image" in wanted:
        usage.layers_size = _layers_size(call)
        usage.images = list(_images(call))
    if "container" in wanted:
        usage.containers = await _containers(call)
    if "volume" in wanted:
        usage.volumes = await _volumes(call)
    if "build-cache" in wanted:
        usage.build_cache = _build_cache(call)
    await call.json(usage)


def _kinds(call: Call) -> tuple[str, ...]:
    asked = call.query.all("type") if call.version >= (1, 42) else []
    for kind in asked:
        if kind not in KINDS:
            raise InvalidArgument(f"unknown object type: {kind}")
    return tuple(asked) or KINDS


def _build_cache(call: Call) -> list[dict[str, object]]:
    """Records of the build cache, in BuildKit's terms."""
    return [
        {
            "ID": one.record.key, "Type": one.record.kind, "Description": one.record.description, "InUse": False,
            "Shared": one.shared, "Size": one.record.size, "CreatedAt": rfc3339(int(one.record.created * 1e9)),
            "LastUsedAt": rfc3339(int(one.record.used * 1e9)), "UsageCount": one.record.uses,
        }
        for one in pruning.usage(builder_of(call.engine), {})
    ]  # fmt: skip


def _layers_size(call: Call) -> int:
    layers = {layer.chain_id: layer.size for image in call.engine.images.all() for layer in image.layers}
    return sum(layers.values())


def _images(call: Call) -> list[wire_image.ImageSummary]:
    everything = call.engine.images.all()
    used = Counter(container.image_id for container in call.engine.containers)
    shared = shared_sizes(everything)
    rows = [images.summary(image, call.version, used, shared) for image in everything]
    for row in rows:
        row.containers = used[row.id]
    return rows


async def _containers(call: Call) -> list[ContainerSummary]:
    found = listing.list_containers(call.engine, {}, all_containers=True)
    names = shown.Names(call.engine)
    return [shown.summary(names, held, await listing.size(call.engine, held), call.version) for held in found]


async def _volumes(call: Call) -> list[wire_storage.Volume]:
    sizes = await volumes.sizes(call.engine)
    return [
        volume_document(
            volume,
            wire_storage.UsageData(
                ref_count=len(call.engine.volumes.users(volume.name)), size=sizes.get(volume.name, -1)
            ),
        )
        for volume in call.engine.volumes.list()
    ]
