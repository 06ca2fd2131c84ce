"""A container's files: copy in and out, changes, export, commit."""

from __future__ import annotations

from base64 import b64encode

from ..engine import archive, changes, commit, export
from ..engine.archive import PathStat
from ..engine.commit import CommitRequest
from ..errors import InvalidArgument
from ..model.container import ContainerConfig
from ..oci import reference
from .call import Call, encode


def _stat_header(found: PathStat) -> dict[str, str]:
    return {"X-Docker-Container-Path-Stat": b64encode(encode(found)).decode()}


def _path(call: Call) -> str:
    path = call.query.text("path")
    if not path:
        raise InvalidArgument("bad parameter: pathcannot be empty")  # sic: Docker's text
    if "\0" in path:
        raise InvalidArgument("bad parameter: path contains a null byte")
    return path


async def stat_path(call: Call) -> None:
    found = await archive.stat(call.engine, call.path["id"], _path(call))
    await call.empty(200, _stat_header(found))


async def copy_out(call: Call) -> None:
    async with archive.get(call.engine, call.path["id"], _path(call)) as (found, parts):
        call.extra = _stat_header(found)
        await call.stream_bytes(parts, "application/x-tar")


async def copy_in(call: Call) -> None:
    query = call.query
    await archive.put(
        call.engine,
        call.path["id"],
        _path(call),
        call.chunks(),
        no_overwrite_dir_non_dir=query.flag("noOverwriteDirNonDir"),
        copy_uid_gid=query.flag("copyUIDGID"),
    )
    await call.empty(200)


async def show_changes(call: Call) -> None:
    found = await changes.changes(call.engine, call.path["id"])
    await call.json([{"Path": change.path, "Kind": change.kind} for change in found] or None)


async def export_container(call: Call) -> None:
    call.engine.containers.get(call.path["id"])
    await call.stream_bytes(export.export(call.engine, call.path["id"]), "application/octet-stream")


async def commit_container(call: Call) -> None:
    query = call.query
    config = await call.body(ContainerConfig, optional=True) if call.exchange.has_body else None
    repository, tag = query.text("repo"), query.text("tag")
    target = None
    if repository:
        target = reference.parse(repository)
        target = target.tagged(tag) if tag else target.with_default_tag()
    request = CommitRequest(
        target=target,
        comment=query.text("comment"),
        author=query.text("author"),
        pause=query.flag("pause", default=True),
        changes=query.all("changes"),
        config=config,
    )
    made = await commit.commit(call.engine, query.text("container"), request)
    await call.json({"Id": made}, 201)
