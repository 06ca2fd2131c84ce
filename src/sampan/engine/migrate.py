"""`sampan system migrate-from-docker`: images, volumes, networks and stopped containers of a Docker data-root.

The source is only read. What is here already by that name stays and is reported; so a run that was cut short is simply
run again. One thing that cannot be taken over does not keep the rest from being taken.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import msgspec

from ..errors import Conflict, InvalidArgument, SampanError
from ..image.layers import Layer
from ..image.tarsplit import assemble
from ..linux.libc import syncfs
from ..model.container import ContainerConfig, EndpointSettings, HostConfig
from ..model.progress import Progress, Report
from ..model.state import NEVER, ContainerState
from ..model.times import now
from ..oci import config as configs
from ..oci import digest as digests
from ..oci import reference
from ..storage import init_layer
from ..storage.changes import overlay_layer
from ..tree.extract import ExtractOptions, Whiteouts, extract
from ..volume import copies as volume_copies
from ..volume.volume import ANONYMOUS
from . import copies, networks, removal, volumes
from .commit import Chunks
from .container import Container, MountPoint
from .dockerroot import DockerRoot, VolumeRow
from .engine import Engine
from .recover import POWER_CUT


async def migrate(engine: Engine, path: str, report: Report) -> None:
    """Take over what the data-root at `path` holds; InvalidArgument where it is none."""
    if not os.path.isabs(path):
        raise InvalidArgument(f"{path} is not an absolute path")
    await _Migration(engine, DockerRoot(path), report).run()


class _Migration:
    def __init__(self, engine: Engine, root: DockerRoot, report: Report) -> None:
        self._engine = engine
        self._root = root
        self._report = report
        self._failures = 0

    async def run(self) -> None:
        for spec in self._root.networks():
            await self._one("network", spec.name, partial(networks.create, self._engine, spec))
        for row in self._root.volumes():
            await self._one("volume", row.name, partial(self._volume, row))
        tags = self._root.repositories()
        for image_id in self._root.images():
            names = [name for name, found in tags.items() if found == image_id]
            await self._one("image", names[0] if names else image_id, partial(self._image, image_id, names))
        for container_id in self._root.containers():
            await self._one("container", container_id[:12], partial(self._container, container_id))
        for name, reason in self._root.left_out():
            self._say(f"{name}: not taken over: {reason}")
        self._say(f"done, {self._failures} could not be taken over" if self._failures else "done")

    def _say(self, text: str) -> None:
        self._report(Progress(status=text))

    async def _one(self, kind: str, name: str, take: Callable[[], Awaitable[object]]) -> None:
        try:
            await take()
        except Conflict as error:
            self._say(f"{kind} {name}: kept what is here: {error}")
        except (SampanError, OSError, msgspec.ValidationError, KeyError) as error:
            self._failures += 1
            self._say(f"{kind} {name}: not taken over: {error}")
        else:
            self._say(f"{kind} {name}: taken over")

    async def _volume(self, row: VolumeRow) -> None:
        engine = self._engine
        if engine.volumes.exists(row.name):
            raise Conflict(f"volume {row.name} exists")
        await volumes.create(engine, row.name, row.driver, row.options, row.labels)
        where = f"driver {row.driver}" if row.driver != "local" else (row.options or {}).get("device", "")
        if where:
            self._say(f"volume {row.name}: its data stays where it is: {where}")
            return
        data = self._root.volume_data(row.name)
        try:
            async with volumes.mounted(engine, row.name) as place:
                if os.path.isdir(data):
                    await asyncio.to_thread(volume_copies.copy_contents, data, place)
        except BaseException:
            await volumes.remove(engine, row.name, force=True)
            raise
        engine.volumes.mark_copied(row.name)

    async def _image(self, image_id: str, names: list[str]) -> None:
        images = self._engine.images
        data = self._root.image_config(image_id)
        chains = digests.chain_ids(configs.parse(data).rootfs.diff_ids)
        layers: list[Layer] = []
        with images.hold(chains):
            for chain_id in chains:
                layers.append(await self._layer(chain_id, layers[-1].chain_id if layers else None))
            image = images.add(data, layers, parent=self._root.parent(image_id))
        for name in map(reference.parse, names):
            if name.digest:
                images.add_digest(image.id, name, name.digest)
            else:
                images.tag(image.id, name)

    async def _layer(self, chain_id: str, parent: str | None) -> Layer:
        images = self._engine.images
        known = images.known_layer(chain_id)
        if known is not None:
            return known
        files = self._root.layer(chain_id)
        return await images.layers.load(Chunks(assemble(files.description, files.directory)), files.diff_id, parent)

    async def _container(self, container_id: str) -> None:
        engine = self._engine
        if container_id in engine.containers:
            raise Conflict(f"container {container_id[:12]} exists")
        config, host = self._root.container(container_id)
        if runs(config):
            raise InvalidArgument(
                f"{config['Name'].removeprefix('/')} runs (process {config['State']['Pid']}): end it with docker stop, "
                "then migrate again; with live-restore containers outlive dockerd"
            )
        container = _record(engine, config, host)
        engine.containers.refuse_taken(container.name)
        with ExitStack() as undo:
            await self._store(container, undo)
            undo.pop_all()
        engine.container_event(container, "create")

    async def _store(self, container: Container, undo: ExitStack) -> None:
        """Record and files; `undo` takes back what was made here, and nothing that was there (S29)."""
        engine, directory = self._engine, self._engine.paths.container(container.id)
        container.layer_parent = engine.images.by_id(container.image_id).chain_id
        os.mkdir(directory, 0o710)
        undo.callback(removal.remove_directory, engine, container.id)
        for log in self._root.logs(container.id):
            os.makedirs(os.path.dirname(f"{directory}/{log}"), 0o700, exist_ok=True)
            source = f"{self._root.path}/containers/{container.id}/{log}"
            await asyncio.to_thread(shutil.copy2, source, f"{directory}/{log}")
        copies.keep(engine, container)
        engine.snapshots.prepare(container.id, init_layer(engine.snapshots, container.layer_parent or None))
        undo.callback(engine.snapshots.remove, container.id)
        tree = engine.snapshots.upper(container.id)
        where = tree or engine.snapshots.mount(container.id)
        try:
            await asyncio.to_thread(_fill, self._root.writable_layer(container.id), where, tree is not None)
        finally:
            if tree is None:
                engine.snapshots.unmount(container.id)
        engine.containers.add(container)


def runs(config: dict[str, Any]) -> bool:
    """Whether a container's process lives. dockerd's word for it is not enough: it may have been cut off."""
    state = config["State"]
    if not state.get("Running"):
        return False
    try:
        with open(f"/proc/{state.get('Pid')}/cgroup") as groups:
            return config["ID"] in groups.read()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _fill(source: str, target: str, overlay: bool) -> None:
    """The changes of a writable layer into another; durable when it returns."""
    origin = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    goal = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        options = ExtractOptions(Whiteouts.OVERLAY if overlay else Whiteouts.DELETE)
        extract(goal, Chunks(overlay_layer(origin)), options)
        syncfs(goal)
    finally:
        os.close(origin)
        os.close(goal)


def _record(engine: Engine, config: dict[str, Any], host: dict[str, Any]) -> Container:
    settings = msgspec.convert(host, HostConfig)
    if settings.runtime == "runc":
        settings.runtime = engine.config.container.runtime
    return Container(
        id=config["ID"],
        name=config["Name"].removeprefix("/"),
        created=config["Created"],
        image_id=config["Image"],
        config=msgspec.convert(config["Config"], ContainerConfig),
        host_config=settings,
        networks=_endpoints(config["NetworkSettings"].get("Networks") or {}),
        mounts=[_mount(engine, one) for one in (config.get("MountPoints") or {}).values()],
        state=_state(config),
        path=config["Path"],
        args=config["Args"] or [],
        driver=engine.snapshots.name,
        has_been_started=bool(config.get("HasBeenStartedBefore")),
    )


def _state(config: dict[str, Any]) -> ContainerState:
    old = config["State"]
    started = old.get("StartedAt") or NEVER
    cut_off = bool(old.get("Running"))
    return ContainerState(
        status="created" if started == NEVER else "exited",
        exit_code=POWER_CUT if cut_off else old.get("ExitCode", 0),
        oom_killed=old.get("OOMKilled", False),
        error=old.get("Error", ""),
        started_at=started,
        finished_at=now() if cut_off else old.get("FinishedAt") or NEVER,
        restart_count=config.get("RestartCount", 0),
        # Nothing of it starts by itself before somebody has looked at it.
        stopped_by_user=True,
    )


def _endpoints(found: dict[str, Any]) -> dict[str, EndpointSettings]:
    """What was asked for; what Docker's networks gave belongs to them."""
    asked = {}
    for name, given in found.items():
        settings = msgspec.convert(given or {}, EndpointSettings)
        asked[name] = EndpointSettings(
            ipam_config=settings.ipam_config,
            links=settings.links,
            aliases=settings.aliases,
            driver_opts=settings.driver_opts,
            gw_priority=settings.gw_priority,
            mac_address=(given or {}).get("DesiredMacAddress", ""),
        )
    return asked


def _mount(engine: Engine, given: dict[str, Any]) -> MountPoint:
    kind, writable = given["Type"], given.get("RW", True)
    point = MountPoint(
        type=kind, source=given.get("Source", ""), destination=given["Destination"], mode=given.get("Relabel", ""),
        rw=writable, propagation=given.get("Propagation", ""), options=["rbind", *([] if writable else ["ro"])],
    )  # fmt: skip
    if kind == "volume":
        volume = engine.volumes.get(given["Name"])
        point.name, point.source, point.driver = volume.name, volume.mountpoint, volume.driver
        point.anonymous = ANONYMOUS in (volume.labels or {})
        point.spec_subpath = ((given.get("Spec") or {}).get("VolumeOptions") or {}).get("Subpath", "")
    elif kind == "tmpfs":
        point.options = []
    return point
