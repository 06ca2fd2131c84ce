"""Routes that Docker does not have: base images made on this host, and copies of volumes."""

from __future__ import annotations

from ..engine import bootstrap as bootstrapping
from ..engine import migrate as migrating
from ..engine import volumes
from ..errors import InvalidArgument
from ..model.progress import Report
from . import progress
from .call import Call
from .volumes import document


async def bootstrap(call: Call) -> None:
    """`POST /images/bootstrap?name=debian:bookworm`: streams progress as a pull does."""
    name = _wanted(call, "name")

    async def work(report: Report) -> None:
        await bootstrapping.bootstrap(call.engine, name, report)

    await progress.stream(call, work)


async def migrate(call: Call) -> None:
    """`POST /sampan/migrate?path=/var/lib/docker`: streams a line for each thing that is taken over."""
    path = _wanted(call, "path")

    async def work(report: Report) -> None:
        await migrating.migrate(call.engine, path, report)

    await progress.stream(call, work)


def _wanted(call: Call, parameter: str) -> str:
    value = call.query.text(parameter)
    if not value:
        raise InvalidArgument(f"the parameter {parameter} is missing")
    return value


async def rename_volume(call: Call) -> None:
    await call.json(document(volumes.rename(call.engine, call.path["name"], _wanted(call, "to"))))


async def copy_volume(call: Call) -> None:
    await call.json(document(await volumes.copy(call.engine, call.path["name"], _wanted(call, "to"))), 201)


async def list_snapshots(call: Call) -> None:
    await call.json(volumes.snapshots(call.engine, call.path["name"]))


async def snapshot_volume(call: Call) -> None:
    await volumes.snapshot(call.engine, call.path["name"], _wanted(call, "name"))
    await call.empty(201)


async def remove_snapshot(call: Call) -> None:
    await volumes.remove_snapshot(call.engine, call.path["name"], call.path["snapshot"])
    await call.empty()


async def restore_volume(call: Call) -> None:
    await volumes.restore(call.engine, call.path["name"], _wanted(call, "snapshot"))
    await call.empty()


async def export_volume(call: Call) -> None:
    """What is in the volume, as a tar."""
    await call.stream_bytes(volumes.export(call.engine, call.path["name"]), "application/x-tar")


async def import_volume(call: Call) -> None:
    """A tar, compressed or not, over what is in the volume; the volume is made when it does not exist."""
    await volumes.import_tar(call.engine, call.path["name"], call.chunks())
    await call.empty()
