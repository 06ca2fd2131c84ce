"""Volumes."""

from __future__ import annotations

from msgspec import UNSET

from ..engine import volumes
from ..errors import Unavailable
from ..volume.volume import Volume
from ..wire import storage as wire
from .call import Call
from .router import Route
from .swarm import NOT_A_MANAGER


def document(volume: Volume, usage: wire.UsageData | None = None) -> wire.Volume:
    """A volume as the API shows it."""
    return wire.Volume(
        created_at=volume.created,
        driver=volume.driver,
        labels=volume.labels,
        mountpoint=volume.mountpoint,
        name=volume.name,
        options=volume.options,
        scope=volume.scope,
        status=volume.status or UNSET,
        usage_data=usage or UNSET,
    )


async def list_volumes(call: Call) -> None:
    found = call.engine.volumes.list(call.query.filters())
    await call.json({"Volumes": [document(volume) for volume in found], "Warnings": None})


async def create(call: Call) -> None:
    request = await call.body(wire.VolumeCreate)
    if request.cluster_volume_spec is not None:
        raise Unavailable(NOT_A_MANAGER)
    made = await volumes.create(call.engine, request.name, request.driver, request.driver_opts, request.labels)
    await call.json(document(made), 201)


async def inspect(call: Call) -> None:
    await call.json(document(await volumes.inspect(call.engine, call.path["name"])))


async def remove(call: Call) -> None:
    await volumes.remove(call.engine, call.path["name"], force=call.query.flag("force"))
    await call.empty()


async def update(call: Call) -> None:
    raise Unavailable(NOT_A_MANAGER)


async def prune(call: Call) -> None:
    """Since 1.42 only anonymous volumes, unless the filter `all` says otherwise."""
    filters = call.query.filters()
    if call.version < (1, 42):
        filters = {**filters, "all": ["true"]}
    pruned = await volumes.prune(call.engine, filters)
    await call.json({"VolumesDeleted": pruned.names, "SpaceReclaimed": pruned.bytes})


ROUTES: list[Route] = [
    ("GET", "/volumes", list_volumes),
    ("POST", "/volumes/create", create),
    ("POST", "/volumes/prune", prune),
    ("GET", "/volumes/{name:*}", inspect),
    ("DELETE", "/volumes/{name:*}", remove),
    ("PUT", "/volumes/{name:*}", update),
]
