"""What a container's file tree is made of besides its image: volumes, binds, tmpfs, images.

create   plan       texts → list[MountPoint]; volumes are made, sources of --mount must exist
         populate   volumes that are empty take what the image has at their place, once (S30)
start    activate   volumes and images are mounted, missing -v directories made → list[BundleMount], parents first
exit     release    the other way round
restart  adopt      of the daemon: what a container that lives has mounted is noted again, and nobody asked
remove   remove     anonymous volumes go with their container when asked for
"""

from __future__ import annotations

import asyncio
import os
import posixpath
from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import UNSET

from ..cas.threads import run_abandonable
from ..errors import Conflict, InvalidArgument, NotFound, SampanError
from ..linux.mount import MNT_DETACH, MS_BIND, MS_REC, UMOUNT_NOFOLLOW, mount, umount2
from ..linux.openat2 import open_in_root
from ..model.container import ContainerConfig, DriverConfig, HostConfig
from ..runtime.bundle import BundleMount
from ..volume import ANONYMOUS, Volume
from . import propagation, userns
from .container import Container, MountPoint
from .mountspec import Spec, id_map, parse_bind, parse_mount, parse_volumes_from, tmpfs_mount_options, tmpfs_options

if TYPE_CHECKING:
    from .engine import Engine

_DEFAULT_PROPAGATION = "rprivate"


async def plan(
    engine: Engine, config: ContainerConfig, host_config: HostConfig, image_volumes: Iterable[str] = ()
) -> list[MountPoint]:
    """All mount points of a new container, by destination. Raises InvalidArgument and NotFound with Docker's texts.

    Later sources win over earlier ones: --volumes-from, then -v and --mount, then the image's and the anonymous
    volumes where nothing else is mounted.
    """
    tmpfs = host_config.tmpfs or {}
    for target, options in tmpfs.items():
        if not target.startswith("/"):
            raise InvalidArgument(f"invalid mount path: '{target}' mount path must be absolute")
        tmpfs_options(options)
    points = {point.destination: point for point in _from_containers(engine, host_config)}
    asked = await _asked_for(host_config)
    made: list[MountPoint] = []
    try:
        for spec in asked:
            made.append(await _point(engine, spec))
        points |= {point.destination: point for point in made}
        for destination in [*(config.volumes or {}), *image_volumes]:
            target = posixpath.normpath(destination)
            if target not in points and target not in tmpfs:
                made.append(await _anonymous(engine, target, host_config.volume_driver))
                points[target] = made[-1]
    except BaseException:
        await _remove_anonymous(engine, made)
        raise
    return sorted(points.values(), key=lambda point: point.destination)


def _from_containers(engine: Engine, host_config: HostConfig) -> Iterable[MountPoint]:
    for text in host_config.volumes_from or ():
        ref, writable = parse_volumes_from(text)
        try:
            mounts = engine.containers.get(ref).mounts
        except NotFound as error:  # a 404 here would send the client to pull the image
            raise InvalidArgument(str(error)) from None
        for point in mounts:
            yield MountPoint(
                type=point.type, name=point.name, source=point.source, destination=point.destination,
                driver=point.driver, rw=point.rw and writable, propagation=point.propagation,
                spec_subpath=point.spec_subpath, options=list(point.options), anonymous=point.anonymous,
                id_map=point.id_map,
            )  # fmt: skip


async def _asked_for(host_config: HostConfig) -> list[Spec]:
    binds = [parse_bind(text, host_config.volume_driver) for text in host_config.binds or ()]
    specs = list(binds)
    if isinstance(mounts := host_config.mounts, list):  # sources are looked for: perhaps on a server that is away
        specs += await run_abandonable(lambda: [parse_mount(asked) for asked in mounts])
    tmpfs = [posixpath.normpath(target) for target in host_config.tmpfs or {}]
    # As in Docker, a --mount may lie below a --tmpfs at the same place, a -v may not.
    for targets in ([*tmpfs, *(spec.target for spec in binds)], [spec.target for spec in specs]):
        _refuse_twice(targets)
    return specs


def _refuse_twice(targets: list[str]) -> None:
    for index, target in enumerate(targets):
        if target in targets[:index]:
            raise InvalidArgument(f"Duplicate mount point: {target}")


async def _point(engine: Engine, spec: Spec) -> MountPoint:
    if spec.mount.type == "volume":
        return await _volume(engine, spec)
    return _MAKERS[spec.mount.type](engine, spec)


def _bind(engine: Engine, spec: Spec) -> MountPoint:
    asked = spec.mount
    options = asked.bind_options
    if options and options.id_map:
        userns.shown(engine.config.id_map, id_map(options.id_map))
    words = ["bind" if options and options.non_recursive else "rbind"]
    if asked.read_only:
        words.append("ro" if options and (options.non_recursive or options.read_only_non_recursive) else "rro")
    return MountPoint(
        type="bind", source=posixpath.normpath(asked.source), destination=spec.target, mode=spec.mode,
        rw=not asked.read_only, propagation=(options and options.propagation) or _DEFAULT_PROPAGATION, options=words,
        id_map=(options and options.id_map) or "",
    )  # fmt: skip


async def _volume(engine: Engine, spec: Spec) -> MountPoint:
    asked, options = spec.mount, spec.mount.volume_options
    driver = (options and options.driver_config) or DriverConfig()
    labels = options.labels if options else None
    volume = await _make_volume(engine, asked.source, driver.name, driver.options, labels)
    return MountPoint(
        type="volume", name=volume.name, source=volume.mountpoint, destination=spec.target, driver=volume.driver,
        mode=spec.mode or ("z" if volume.driver == "local" else ""), rw=not asked.read_only,
        copy_up=not (options and options.no_copy), spec_subpath=(options and options.subpath) or "",
        options=["rbind", *(["ro"] if asked.read_only else [])], anonymous=not asked.source,
    )  # fmt: skip


async def _make_volume(
    engine: Engine, name: str, driver: str, options: dict[str, str] | None, labels: dict[str, str] | None
) -> Volume:
    known = bool(name) and engine.volumes.exists(name)
    volume = await engine.volumes.create(name, driver, options, labels)
    if not known:
        engine.events.publish("volume", "create", volume.name, {"driver": volume.driver})
    return volume


async def _anonymous(engine: Engine, target: str, driver: str) -> MountPoint:
    if not target.startswith("/") or target == "/":
        raise InvalidArgument(f'invalid volume: "{target}" is not an absolute path below "/"')
    volume = await _make_volume(engine, "", driver, None, {ANONYMOUS: ""})
    return MountPoint(
        type="volume", name=volume.name, source=volume.mountpoint, destination=target, driver=volume.driver,
        copy_up=True, options=["rbind"], anonymous=True,
    )  # fmt: skip


def _tmpfs(engine: Engine, spec: Spec) -> MountPoint:
    options = tmpfs_mount_options(spec.mount)
    return MountPoint(type="tmpfs", destination=spec.target, rw=not spec.mount.read_only, options=options)


def _image(engine: Engine, spec: Spec) -> MountPoint:
    image = engine.images.get(spec.mount.source)
    subpath = spec.mount.image_options.subpath if spec.mount.image_options else ""
    return MountPoint(
        type="image", name=spec.mount.source, source=image.id, destination=spec.target, rw=False,
        propagation=_DEFAULT_PROPAGATION, spec_subpath=subpath, options=["rbind", "rro"],
    )  # fmt: skip


_MAKERS = {"bind": _bind, "tmpfs": _tmpfs, "image": _image}


async def populate(engine: Engine, container: Container) -> None:
    """Fill empty volumes from the image, at create: a container may exist for its volumes only, and never start."""
    wanting = [point for point in container.mounts if _wants_copy_up(engine, point)]
    if not wanting:
        return
    root = os.open(userns.mount(engine, container), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for point in wanting:
            await _copy_up(engine, container, root, point)
    finally:
        os.close(root)
        engine.snapshots.unmount(container.id)


def _wants_copy_up(engine: Engine, point: MountPoint) -> bool:
    return point.type == "volume" and point.copy_up and engine.volumes.wants_copy_up(point.name)


async def _copy_up(engine: Engine, container: Container, root: int, point: MountPoint) -> None:
    await engine.volumes.mount(point.name, container.id)
    try:
        volume = engine.volumes.get(point.name)
        if await asyncio.to_thread(engine.volumes.fill, root, point.destination, volume):
            engine.volumes.mark_copied(point.name)
    finally:
        await engine.volumes.unmount(point.name, container.id)


async def activate(engine: Engine, container: Container) -> list[BundleMount]:
    """Mount what the container needs and describe it for the runtime, parents before children; all or nothing."""
    mounts: list[BundleMount] = []
    try:
        for index, point in enumerate(container.mounts):
            mounts.append(await _activate(engine, container, point, index))
    except BaseException:
        await release(engine, container)
        raise
    for target, options in (container.host_config.tmpfs or {}).items():
        mounts.append(BundleMount(posixpath.normpath(target), "tmpfs", "tmpfs", tuple(tmpfs_options(options))))
    return sorted(mounts, key=lambda one: one.destination.count("/"))


async def _activate(engine: Engine, container: Container, point: MountPoint, index: int) -> BundleMount:
    if point.type == "tmpfs":
        return BundleMount(point.destination, "tmpfs", "tmpfs", tuple(point.options))
    options = [*point.options, *([point.propagation] if point.propagation else [])]
    if not point.rw and not {"ro", "rro"} & set(options):
        options.append("ro")
    ids = userns.shown(userns.ids(engine, container), id_map(point.id_map)) if point.id_map else None
    return BundleMount(point.destination, "bind", await _source(engine, container, point, index), tuple(options), ids)


async def _source(engine: Engine, container: Container, point: MountPoint, index: int) -> str:
    if point.type == "bind":
        await run_abandonable(lambda: _check_source(container, point))
        return point.source
    if point.type == "image":
        path = _mount_image(engine, container, index, engine.images.by_id(point.source).chain_id)
    else:
        path = await _mount_volume(engine, container, point)
    if point.spec_subpath:
        return await run_abandonable(lambda: _pin_subpath(engine, container, path, point.spec_subpath, index))
    return path


def _image_key(container: Container, index: int) -> str:
    return f"{container.id}-image-{index}"


def _mount_image(engine: Engine, container: Container, index: int, chain_id: str) -> str:
    """An image's tree under a key of this mount's own: no other container's mount of it is touched at release."""
    key = _image_key(container, index)
    if not engine.snapshots.exists(key):
        engine.snapshots.prepare(key, chain_id or None)
    return engine.snapshots.mount(key, mapped=userns.ids(engine, container) is not None)


def _release_image(engine: Engine, key: str) -> None:
    while engine.snapshots.mounted(key):
        engine.snapshots.unmount(key)
    engine.snapshots.remove(key)


async def _mount_volume(engine: Engine, container: Container, point: MountPoint) -> str:
    if not engine.volumes.exists(point.name):  # pruned by force, or lost with the database: Docker makes it again
        await engine.volumes.create(point.name, point.driver, None, {ANONYMOUS: ""} if point.anonymous else None)
    path = await engine.volumes.mount(point.name, container.id)
    engine.events.publish(
        "volume", "mount", point.name,
        {"container": container.id, "destination": point.destination, "driver": point.driver,
         "propagation": point.propagation, "read/write": "true" if point.rw else "false"},
    )  # fmt: skip
    return path


def _check_source(container: Container, point: MountPoint) -> None:
    """In a thread: the source may lie on a file server that is away."""
    _require_source(container, point)
    propagation.check(point.source, point.propagation)


def _require_source(container: Container, point: MountPoint) -> None:
    if os.path.lexists(point.source):
        return
    if not _makes_source(container, point):
        raise InvalidArgument(f'invalid mount config for type "bind": bind source path does not exist: {point.source}')
    try:
        os.makedirs(point.source, 0o755)
    except OSError as error:
        raise SampanError(
            f"error while creating mount source path '{point.source}': mkdir {error.filename}: "
            f"{(error.strerror or '').lower()}"
        ) from error


def _makes_source(container: Container, point: MountPoint) -> bool:
    """`-v` makes a missing directory, `--mount` refuses unless it was told to."""
    mounts = container.host_config.mounts if container.host_config.mounts is not UNSET else None
    for asked in mounts or ():
        if posixpath.normpath(asked.target) == point.destination:
            return bool(asked.bind_options and asked.bind_options.create_mountpoint)
    return True


def _pin_subpath(engine: Engine, container: Container, path: str, subpath: str, index: int) -> str:
    """A directory inside a volume that containers write to: found by fd, then pinned by a mount of our own (S06)."""
    if subpath.startswith("/") or ".." in subpath.split("/"):
        raise InvalidArgument(f"subpath must be a relative path within the volume: {subpath}")
    root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = open_in_root(root, subpath)
    except FileNotFoundError:
        raise NotFound(
            f"cannot access path {path}/{subpath}: lstat {path}/{subpath}: no such file or directory"
        ) from None
    finally:
        os.close(root)
    try:
        return _bind_pinned(fd, f"{engine.paths.container(container.id)}/mounts/{index}")
    finally:
        os.close(fd)


def _bind_pinned(fd: int, target: str) -> str:
    source = f"/proc/self/fd/{fd}"
    os.makedirs(os.path.dirname(target), 0o700, exist_ok=True)
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        with open(target, "ab"):
            pass
    mount(source, target, None, MS_BIND | MS_REC)
    return target


def adopt(engine: Engine, container: Container) -> None:
    """After a restart of the daemon: note what a container that lives has mounted. Never asks a driver."""
    for index, point in enumerate(container.mounts):
        if point.type == "image" and engine.snapshots.exists(key := _image_key(container, index)):
            engine.snapshots.mount(key, mapped=userns.ids(engine, container) is not None)
        elif point.type == "volume" and engine.volumes.exists(point.name):
            engine.volumes.adopt_mount(point.name, container.id)


async def release(engine: Engine, container: Container) -> None:
    """Undo `activate`; safe to call twice, and after a restart of the daemon."""
    _unpin(f"{engine.paths.container(container.id)}/mounts")
    for index, point in enumerate(container.mounts):
        if point.type == "image":
            _release_image(engine, _image_key(container, index))
        elif point.type == "volume" and engine.volumes.mounted(point.name, container.id):
            await _unmount_volume(engine, container, point)


def release_later(engine: Engine, container: Container) -> None:
    """A container ended while no daemon ran: its plugins are told beside the start-up, which waits for nobody."""
    for point in container.mounts:
        if point.type == "volume" and point.driver != "local":
            engine.spawn(_unmount_volume(engine, container, point), f"unmount {point.name}")


async def _unmount_volume(engine: Engine, container: Container, point: MountPoint) -> None:
    try:
        await engine.volumes.unmount(point.name, container.id)
    except SampanError as error:  # a plugin that is away must not keep a container from ending
        engine.warn(f"unmounting volume {point.name}: {error}")
    engine.events.publish("volume", "unmount", point.name, {"container": container.id, "driver": point.driver})


def _unpin(directory: str) -> None:
    if not os.path.isdir(directory):
        return
    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        try:
            umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW)
        except OSError:
            pass  # not mounted any more: the machine was restarted
        os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
    os.rmdir(directory)


async def remove(engine: Engine, container: Container, volumes: bool) -> None:
    """The container is being removed (its record is gone): drop its anonymous volumes when asked for."""
    if volumes:
        await _remove_anonymous(engine, container.mounts)


async def _remove_anonymous(engine: Engine, points: Iterable[MountPoint]) -> None:
    for point in points:
        if point.type != "volume" or not point.anonymous:
            continue
        try:
            if await engine.volumes.remove(point.name, force=True):
                engine.events.publish("volume", "destroy", point.name, {"driver": point.driver})
        except Conflict:
            continue  # another container has it through --volumes-from
        except SampanError as error:  # its plugin does not want to: it is forgotten all the same
            engine.warn(str(error))


def users(engine: Engine, name: str) -> list[str]:
    """The ids of the containers that have a volume in their configuration."""
    return [one.id for one in engine.containers if any(p.type == "volume" and p.name == name for p in one.mounts)]
