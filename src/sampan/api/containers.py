"""Containers: make, list, show, change, remove."""

from __future__ import annotations

from typing import Any

from ..engine import (
    create,
    kill,
    listing,
    pause,
    prune,
    remove,
    rename,
    resize,
    restart,
    start,
    stop,
    wait,
)
from ..engine.listing import Size
from ..errors import InvalidArgument
from ..model.container import CreateRequest
from ..model.quantity import parse_int
from . import shown
from .bridging import adapt_create
from .call import Call, encode
from .router import Route


async def list_containers(call: Call) -> None:
    query = call.query
    limit = query.number("limit")
    found = listing.list_containers(call.engine, query.filters(), all_containers=query.flag("all"), limit=max(limit, 0))
    sizes = query.flag("size")
    names = shown.Names(call.engine)
    rows = [
        shown.summary(names, container, await listing.size(call.engine, container) if sizes else None, call.version)
        for container in found
    ]
    await call.json(rows)


async def inspect(call: Call) -> None:
    container = call.engine.containers.get(call.path["id"])
    size: Size | None = await listing.size(call.engine, container) if call.query.flag("size") else None
    await call.json(shown.inspect(call.engine, container, size, call.version))


async def create_container(call: Call) -> None:
    request = await call.body(CreateRequest)
    warnings = adapt_create(request, call.version)
    name = call.query.text("name") or None
    made = await create.create(call.engine, name, request, call.query.text("platform") or None)
    await call.json({"Id": made.id, "Warnings": made.warnings + warnings}, 201)


async def start_container(call: Call) -> None:
    if call.exchange.has_body and call.version >= (1, 24):
        data = await call.exchange.read()
        if data.strip() not in (b"", b"{}", b"null"):
            raise InvalidArgument(
                "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24"
            )
    await start.start(call.engine, call.path["id"])
    await call.empty()


async def stop_container(call: Call) -> None:
    signal = call.query.text("signal") if call.version >= (1, 42) else ""
    await stop.stop(call.engine, call.path["id"], signal or None, call.query.optional_number("t"))
    await call.empty()


async def restart_container(call: Call) -> None:
    signal = call.query.text("signal") if call.version >= (1, 42) else ""
    await restart.restart(call.engine, call.path["id"], signal or None, call.query.optional_number("t"))
    await call.empty()


async def kill_container(call: Call) -> None:
    await kill.kill(call.engine, call.path["id"], call.query.text("signal") or None)
    await call.empty()


async def pause_container(call: Call) -> None:
    await pause.pause(call.engine, call.path["id"])
    await call.empty()


async def unpause_container(call: Call) -> None:
    await pause.unpause(call.engine, call.path["id"])
    await call.empty()


async def rename_container(call: Call) -> None:
    rename.rename(call.engine, call.path["id"], call.query.text("name"))
    await call.empty()


async def resize_container(call: Call) -> None:
    size = terminal_size(call)
    container = call.engine.containers.get(call.path["id"])
    if container.config.tty or not container.running:  # without a terminal Docker takes it and does nothing
        await resize.resize(call.engine, container.id, *size)
    await call.empty(200)


def terminal_size(call: Call) -> tuple[int, int]:
    """Rows and columns of a resize; InvalidArgument in Docker's words."""
    found = []
    for key, name in (("h", "height"), ("w", "width")):
        text = call.query.text(key)
        try:
            found.append(parse_int(text, 0, 65535))
        except ValueError as error:
            raise InvalidArgument(f'invalid resize {name} "{text}": {str(error).rpartition(": ")[2]}') from None
    return found[0], found[1]


async def remove_container(call: Call) -> None:
    query = call.query
    await remove.remove(
        call.engine, call.path["id"], force=query.flag("force"), volumes=query.flag("v"), link=query.flag("link")
    )
    await call.empty()


async def wait_container(call: Call) -> None:
    """The head leaves as soon as the wait is registered: clients start the container when they have it."""
    condition = call.query.text("condition") if call.version >= (1, 30) else ""
    ticket = wait.wait(call.engine, call.path["id"], condition)
    try:
        exchange = await call.stream("application/json")
        result = await ticket.result()
        document: dict[str, Any] = {"StatusCode": result.status}
        if result.error:
            document["Error"] = {"Message": result.error}
        await exchange.write(encode(document) + b"\n")
    finally:
        ticket.close()


async def prune_containers(call: Call) -> None:
    pruned = await prune.containers(call.engine, call.query.filters())
    await call.json({"ContainersDeleted": pruned.removed or None, "SpaceReclaimed": pruned.freed})


ROUTES: list[Route] = [
    ("GET", "/containers/json", list_containers),
    ("POST", "/containers/create", create_container),
    ("POST", "/containers/prune", prune_containers),
    ("GET", "/containers/{id}/json", inspect),
    ("POST", "/containers/{id}/start", start_container),
    ("POST", "/containers/{id}/stop", stop_container),
    ("POST", "/containers/{id}/restart", restart_container),
    ("POST", "/containers/{id}/kill", kill_container),
    ("POST", "/containers/{id}/pause", pause_container),
    ("POST", "/containers/{id}/unpause", unpause_container),
    ("POST", "/containers/{id}/rename", rename_container),
    ("POST", "/containers/{id}/resize", resize_container),
    ("POST", "/containers/{id}/wait", wait_container),
    ("DELETE", "/containers/{id}", remove_container),
]
