"""Changing what only a new container can have: environment, mounts, labels, command, image.

The replacement takes over the name, the volumes (anonymous ones too), the networks and addresses, the writable layer
unless the image changes, and answers to the former ids. The old container is kept, renamed and stopped, until the new
one has started and, where it has a health check, is healthy; else everything is put back. A daemon that dies in between
rolls back when it comes up again.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from .. import faults
from ..errors import NotFound, SampanError
from ..model.container import (
    ContainerConfig,
    CreateRequest,
    DockerStruct,
    EndpointIPAMConfig,
    EndpointSettings,
    HostConfig,
    Mount,
    NetworkingConfig,
)  # fmt: skip
from ..oci.config import ExecutionConfig
from . import copies, create, environment, kill, remove, start, stop
from .container import Container, Replaced
from .engine import Engine
from .live import Live
from .mountspec import parse_bind

HEALTH_SECONDS = 300.0
"""How long the replacement may take to become healthy."""


class Changes(DockerStruct, kw_only=True):
    """What is to be different; None leaves as it is.

    `env` sets (`A=1`) and unsets (`A`), `labels` sets and, with None, unsets; `binds` and `mounts` are added, in place
    of what is mounted at the same target; `unmount` names targets.
    """

    image: str | None = None
    cmd: list[str] | None = None
    entrypoint: list[str] | None = None
    env: list[str] | None = None
    labels: dict[str, str | None] | None = None
    binds: list[str] | None = None
    mounts: list[Mount] | None = None
    unmount: list[str] | None = None


async def recreate(engine: Engine, ref: str, changes: Changes) -> Container:
    """Replace a container by a changed one, at once or not at all → the new one. Raises what create and start raise."""
    old = engine.containers.get(ref)
    created = await create.create(engine, None, _request(engine, old, changes))
    new = engine.containers.get(created.id)
    if changes.image is None:
        new.config.image = old.config.image  # the request had the id: its name may stand for a newer image by now
    _adopt_volumes(engine, old, new)
    new.replaces = Replaced(id=old.id, name=old.name, running=old.running)
    new.former_ids = [*old.former_ids, old.id]
    engine.containers.save(new)
    try:
        await _swap(engine, old, new)
    except BaseException:
        await roll_back(engine, new)
        raise
    new.replaces, old.superseded = None, True
    with engine.db.transaction():
        engine.containers.save(new)
        engine.containers.save(old)
    copies.keep(engine, new)
    faults.point("engine.recreate.committed")
    await remove.remove(engine, old.id, force=True)
    engine.live(new).keep = False
    return new


async def _swap(engine: Engine, old: Container, new: Container) -> None:
    assert new.replaces is not None
    addresses = _addresses(old)
    keep_both(engine)
    if old.running or old.restarting:
        await stop.stop(engine, old.id)
    faults.point("engine.recreate.stopped")
    _change_places(engine, old, new)
    faults.point("engine.recreate.swapped")
    if new.replaces.running:
        await _start_at(engine, new, addresses)
        await _healthy(engine, new)


def keep_both(engine: Engine) -> None:
    """--rm must not take away what may have to come back, nor what holds its writable layer."""
    for container in engine.containers:
        if container.replaces is not None:
            engine.live(container).keep = True
            if container.replaces.id in engine.containers:
                engine.live(engine.containers.get(container.replaces.id)).keep = True


def _change_places(engine: Engine, holder: Container, other: Container) -> None:
    """The name, and the writable layer where both are of one image, go from a container that is stopped to another."""
    name = holder.name
    with engine.db.transaction():
        engine.containers.rename(holder, f"{name[:40]}.{holder.id[:12]}")
        engine.containers.rename(other, name)
        if holder.image_id == other.image_id:
            engine.snapshots.exchange(holder.id, other.id)


async def _healthy(engine: Engine, container: Container) -> None:
    """Wait for the first verdict of the health check, if there is one."""
    feed = engine.events.subscribe({"container": [container.id], "event": ["health_status", "die"]})
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            while container.state.health is not None and container.state.health.status == "starting":
                if (await anext(feed)).action == "die":
                    raise SampanError(
                        f"container {container.name} ended with {container.state.exit_code} after its change"
                    )
    except TimeoutError:
        raise SampanError(f"container {container.name} is not healthy after its change") from None
    finally:
        feed.close()
    if container.state.health is not None and container.state.health.status == "unhealthy":
        output = (container.state.health.log or [])[-1].output if container.state.health.log else ""
        raise SampanError(f"container {container.name} is unhealthy after its change: {output.strip()}")


async def roll_back(engine: Engine, new: Container) -> None:
    """Put the old container back in its place; also at start-up, for a change that was cut short."""
    was = new.replaces
    assert was is not None
    if was.id not in engine.containers:  # somebody removed it: there is nothing to go back to
        new.replaces = None
        engine.containers.save(new)
        return
    old = engine.containers.get(was.id)
    if old.name != was.name:
        if new.running or new.restarting:
            await kill.kill(engine, new.id)
        _change_places(engine, new, old)
    await remove.remove(engine, new.id, force=True)
    if was.running and not old.running:
        await start.start(engine, old.id)
    live: Live = engine.live(old)
    live.keep = False


def _request(engine: Engine, old: Container, changes: Changes) -> CreateRequest:
    """What a client would ask for to get the old container with the changes."""
    config = msgspec.structs.replace(old.config, image=changes.image or old.image_id)
    try:
        image = engine.images.by_id(old.image_id).config.config or ExecutionConfig()
    except NotFound:
        image = ExecutionConfig()
    _without_defaults(config, image)
    if config.hostname == old.id[:12]:
        config.hostname = ""
    if changes.entrypoint is not None:
        config.entrypoint = changes.entrypoint
    if changes.cmd is not None:
        config.cmd = changes.cmd
    config.env = environment.override(config.env or [], changes.env or [])
    labels = {**(config.labels or {}), **(changes.labels or {})}
    config.labels = {key: value for key, value in labels.items() if value is not None}
    fields: dict[str, Any] = {field: getattr(config, field) for field in ContainerConfig.__struct_fields__}
    return CreateRequest(
        **fields,
        host_config=_host(old, config, changes),
        networking_config=NetworkingConfig(
            endpoints_config={name: _endpoint(settings) for name, settings in old.networks.items()}
        ),
    )


def _without_defaults(config: ContainerConfig, image: ExecutionConfig) -> None:
    """Take out what came from the old image, so that the new one's own defaults hold."""
    given = set(image.env or [])
    config.env = [variable for variable in config.env or [] if variable not in given]
    config.labels = {k: v for k, v in (config.labels or {}).items() if (image.labels or {}).get(k) != v}
    if config.entrypoint == image.entrypoint:
        config.entrypoint = None
        if config.cmd == image.cmd:
            config.cmd = None
    for field in ("user", "working_dir", "stop_signal", "exposed_ports"):
        if getattr(config, field) == getattr(image, field):
            setattr(config, field, UNSET if field in ("stop_signal", "exposed_ports") else "")


def _host(old: Container, config: ContainerConfig, changes: Changes) -> HostConfig:
    """The old settings with the changed mounts; anonymous volumes come along by name."""
    host = msgspec.structs.replace(old.host_config)
    dropped = {*(changes.unmount or ())}
    dropped |= {_target(bind) for bind in changes.binds or ()}
    dropped |= {mount.target for mount in changes.mounts or ()}
    kept = [bind for bind in host.binds or () if ":" in bind and _target(bind) not in dropped]
    old_mounts = [] if isinstance(host.mounts, UnsetType) or host.mounts is None else host.mounts
    mounts = [mount for mount in old_mounts if mount.target not in dropped]
    named = {_target(bind) for bind in kept} | {mount.target for mount in mounts if mount.source}
    carried = [
        f"{point.name}:{point.destination}"
        for point in old.mounts
        if point.type == "volume" and point.destination not in dropped | named
    ]
    mounts = [mount for mount in mounts if mount.source or mount.type != "volume"]
    host.binds = [*kept, *carried, *(changes.binds or [])] or None
    host.mounts = [*mounts, *(changes.mounts or [])] or UNSET
    host.volumes_from = None  # what came from others is among the mounts that are carried along
    config.volumes = {target: {} for target in config.volumes or () if target not in dropped} or None
    return host


def _target(bind: str) -> str:
    return parse_bind(bind, "").target


def _endpoint(given: EndpointSettings) -> EndpointSettings:
    """What was asked of a network, without what it gave."""
    return msgspec.structs.replace(
        given, network_id="", endpoint_id="", gateway="", ip_address="", ip_prefix_len=0, ipv6_gateway="",
        global_ipv6_address="", global_ipv6_prefix_len=0, dns_names=None,
        aliases=[alias for alias in given.aliases or [] if alias] or None,
    )  # fmt: skip


def _addresses(container: Container) -> dict[str, EndpointIPAMConfig]:
    """The addresses that networks gave without being asked for one."""
    return {
        name: EndpointIPAMConfig(ipv4_address=given.ip_address, ipv6_address=given.global_ipv6_address)
        for name, given in container.networks.items()
        if given.ip_address and given.ipam_config is None
    }


async def _start_at(engine: Engine, container: Container, addresses: dict[str, EndpointIPAMConfig]) -> None:
    """Start with these addresses; later starts take what is free, as before the change."""
    for name, settings in container.networks.items():
        settings.ipam_config = settings.ipam_config or addresses.get(name)
    try:
        await start.start(engine, container.id)
    finally:
        for name in addresses.keys() & container.networks.keys():
            container.networks[name].ipam_config = None
        engine.containers.save(container)


def _adopt_volumes(engine: Engine, old: Container, new: Container) -> None:
    """Volumes that were anonymous stay so: they go with the container that has them last."""
    anonymous = {point.name for point in old.mounts if point.anonymous}
    for point in new.mounts:
        point.anonymous = point.anonymous or point.name in anonymous
    engine.containers.save(new)
