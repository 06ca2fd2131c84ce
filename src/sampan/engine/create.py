"""`docker create`: everything about a container but its processes."""

from __future__ import annotations

import functools
import os

import msgspec
from msgspec import UNSET, Struct

from .. import faults
from ..errors import InvalidArgument, NotFound, SampanError
from ..image import variants
from ..image.record import Image
from ..model.container import ContainerConfig, CreateRequest, HostConfig
from ..model.times import now
from ..oci import platform as platforms
from ..oci.config import ExecutionConfig
from ..storage import init_layer
from . import (
    copies,
    defaults,
    drivers,
    foreign,
    merge,
    mounts,
    naming,
    networks,
    parts,
    removal,
    resources,
    secrets,
    userns,
    validate,
)
from .container import Container
from .engine import Engine

_CONFIG_FIELDS = tuple(field.name for field in msgspec.structs.fields(ContainerConfig))
_IGNORED_PORTS = "Published ports are discarded when using host network mode"


_JOINING = "joining network namespace of container: "


class Created(Struct, frozen=True):
    """The new container's id, and Docker's warnings about what was left out."""

    id: str
    warnings: list[str]


async def create(engine: Engine, name: str | None, request: CreateRequest, platform: str | None = None) -> Created:
    """Make a container; InvalidArgument, Conflict (name in use) and NotFound (image) carry Docker's text."""
    config = ContainerConfig(**{field: getattr(request, field) for field in _CONFIG_FIELDS})
    host = request.host_config or HostConfig()
    if name:
        name = naming.check_name(name)
        engine.containers.refuse_taken(name)
    _refuse_nothing(config)
    validate.check_config(config)
    validate.check_exposed(config, host)
    image = _image(engine, config.image, platform)
    merge.merge(config, image.config.config or ExecutionConfig())
    validate.check_config(config)
    warnings = foreign.warnings(image.config.platform, asked=bool(platform)) + _check_host(engine, config, host)
    container_id = naming.new_id()
    _adopt_hostname(engine, config, host, container_id)
    container = Container(
        id=container_id,
        name=name or naming.generate(lambda free: engine.containers.named(free) is not None),
        created=now(),
        image_id=image.id,
        config=config,
        host_config=host,
        networks=networks.plan(engine, config, host, request.networking_config),
        driver=engine.snapshots.name,
        layer_parent=image.chain_id,
    )
    container.path, container.args = command(config)
    container.mounts = await mounts.plan(engine, config, host, (image.config.config or ExecutionConfig()).volumes or {})
    try:
        _store(engine, container)
        await mounts.populate(engine, container)
    except BaseException:
        await _undo(engine, container)
        raise
    engine.container_event(container, "create")
    return Created(container.id, warnings)


def command(config: ContainerConfig) -> tuple[str, list[str]]:
    """Program and arguments from entrypoint and command."""
    words = [*(config.entrypoint or []), *(config.cmd or [])]
    return words[0], words[1:]


def _refuse_nothing(config: ContainerConfig) -> None:
    if not config.image and not config.cmd and not config.entrypoint:
        raise InvalidArgument("config cannot be empty in order to create a container")
    if not config.image:
        raise InvalidArgument("no image specified")


def _image(engine: Engine, ref: str, platform: str | None) -> Image:
    wanted = platforms.parse(platform) if platform else None
    try:
        return variants.for_platform(engine.images, ref, wanted)
    except NotFound:
        image: Image = engine.images.get(ref)
        raise NotFound(
            f"image with reference {ref} was found but its platform ({image.config.platform}) "
            f"does not match the specified platform ({wanted})"
        ) from None


def _check_host(engine: Engine, config: ContainerConfig, host: HostConfig) -> list[str]:
    """Refuse what Docker refuses and fill in the defaults; the warnings."""
    validate.check_host(host, config)
    warnings = resources.check(host, engine.kernel)
    parts.check_cgroup_parent(engine.config.cgroup_driver, host.cgroup_parent)
    defaults.apply(host, engine.config, engine.kernel.version)
    drivers.check_logging(host.log_config)
    drivers.layer_limit(engine, host)
    secrets.check(engine, host)
    userns.check(engine, host)
    for field, joining in (("pid_mode", ""), ("ipc_mode", ""), ("network_mode", _JOINING)):
        mode: str = getattr(host, field)
        if mode.startswith("container:"):
            setattr(host, field, f"container:{_joined(engine, mode.removeprefix('container:'), joining)}")
    # On other networks links are names, which somebody may have later.
    for link in (host.links or ()) if host.network_mode in ("", "default", "bridge") else ():
        _check_link(engine, link)
    if host.network_mode == "host" and (host.port_bindings or host.publish_all_ports):
        warnings.append(_IGNORED_PORTS)
    return warnings


def _joined(engine: Engine, ref: str, joining: str) -> str:
    """The id of the container whose namespace is to be shared."""
    try:
        return engine.containers.get(ref).id
    except NotFound as error:
        # Not a NotFound: clients take that for a missing image and pull.
        raise InvalidArgument(f"{joining}{error}") from None


def _check_link(engine: Engine, link: str) -> None:
    target = link.partition(":")[0]
    try:
        engine.containers.get(target)
    except NotFound as error:
        raise InvalidArgument(f"could not get container for {target}: {error}") from error


def _adopt_hostname(engine: Engine, config: ContainerConfig, host: HostConfig, container_id: str) -> None:
    if host.network_mode.startswith("container:"):
        if config.hostname:
            raise InvalidArgument("conflicting options: hostname and the network mode")
        other = engine.containers.get(host.network_mode.removeprefix("container:"))
        config.hostname, config.domainname = other.config.hostname, other.config.domainname
    if config.exposed_ports is UNSET and host.port_bindings:
        config.exposed_ports = {}
    for port in host.port_bindings or ():
        # What is published is exposed, as the clients do themselves.
        assert isinstance(config.exposed_ports, dict)
        config.exposed_ports.setdefault(port if "/" in port else f"{port}/tcp", {})
    defaults.apply_hostname(config, host, container_id)


def _store(engine: Engine, container: Container) -> None:
    """Directory, then layer and row in one commit."""
    os.mkdir(engine.paths.container(container.id), 0o710)
    copies.keep(engine, container)
    base = init_layer(engine.snapshots, container.layer_parent or None)
    with engine.db.transaction():
        engine.snapshots.prepare(container.id, base, drivers.layer_limit(engine, container.host_config))
        engine.containers.add(container)
        engine.images.touch(container.image_id)
        engine.events.flush()
        faults.point("engine.create.stored")
    faults.point("engine.create.committed")


async def _undo(engine: Engine, container: Container) -> None:
    if container.id in engine.containers:
        engine.containers.forget(container)
    for remove in (engine.snapshots.remove, functools.partial(removal.remove_directory, engine)):
        try:
            remove(container.id)
        except (SampanError, OSError):
            continue  # the error that led here is the one to tell
    await mounts.remove(engine, container, volumes=True)
