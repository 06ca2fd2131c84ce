"""`docker rename`."""

from __future__ import annotations

from ..errors import InvalidArgument, SampanError
from . import copies, naming
from .engine import Engine


def rename(engine: Engine, ref: str, new: str) -> None:
    """Give a container another name; Conflict when it is in use, InvalidArgument in Docker's words."""
    container = engine.containers.get(ref)
    if not new or not ref:
        raise InvalidArgument("Neither old nor new names may be empty")
    if new.removeprefix("/") == container.name:
        raise InvalidArgument("Renaming a container with the same name as its current name")
    try:
        name = naming.check_name(new if new.startswith("/") else f"/{new}")
        engine.containers.refuse_taken(name)
    except SampanError as error:
        raise type(error)(f"Error when allocating new name: {error}") from error
    old = container.name
    engine.containers.rename(container, name)
    engine.networks.rename(container.id, name)
    copies.keep(engine, container)
    engine.container_event(container, "rename", oldName=f"/{old}")
