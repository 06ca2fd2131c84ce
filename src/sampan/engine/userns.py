"""Containers in a user namespace (`userns-remap`): their trees show mapped owners, and so do we make files in them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from ..errors import InvalidArgument
from ..linux.credentials import file_system_ids
from ..model.container import HostConfig
from ..model.idmap import IdMap
from .container import Container

if TYPE_CHECKING:
    from .engine import Engine


def ids(engine: Engine, container: Container) -> IdMap | None:
    """The container's map; None where its ids are the host's."""
    return None if container.host_config.userns_mode == "host" else engine.config.id_map


def shown(own: IdMap | None, asked: IdMap | None) -> IdMap:
    """The map of an id-mapped bind, from owners on the disk to the host's ids. `own` is the container's map; None asks
    for it. InvalidArgument where it has none, or not all ids that were asked for.
    """
    if asked is not None:
        return asked.within(own) if own else asked
    if own is None:
        raise InvalidArgument("idmap without a map is for containers in a user namespace: say which owners it shows")
    return own


def mount(engine: Engine, container: Container) -> str:
    """Mount the container's layer with the owners that it sees from inside its namespace; counted, as all mounts."""
    return engine.snapshots.mount(container.id, mapped=ids(engine, container) is not None)


def root(engine: Engine, container: Container) -> tuple[int, int]:
    """The host's ids of the container's root."""
    mapping = ids(engine, container)
    return mapping.root if mapping else (0, 0)


def making(mapping: IdMap | None) -> AbstractContextManager[None]:
    """Around what makes files in a mapped tree; nothing inside may await."""
    return file_system_ids(*mapping.root) if mapping else nullcontext()


def check(engine: Engine, host: HostConfig) -> None:
    """Refuse what cannot be in a user namespace, in Docker's words."""
    if engine.config.id_map is None or host.userns_mode == "host":
        return
    if host.privileged:
        raise InvalidArgument(
            "privileged mode is incompatible with user namespaces.  "
            "You must run the container in the host namespace when running privileged mode"
        )
    if host.network_mode == "host":
        raise InvalidArgument("cannot share the host's network namespace when user namespaces are enabled")
    if host.pid_mode == "host":
        raise InvalidArgument("cannot share the host PID namespace when user namespaces are enabled")
