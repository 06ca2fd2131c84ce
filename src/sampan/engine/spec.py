"""From a container's record to what the runtime is told."""

from __future__ import annotations

import os

import msgspec
from msgspec import Struct

from ..errors import Conflict, InvalidArgument
from ..model.times import nanoseconds
from ..runtime import CreateContainer, LogSetup, bundle, users
from . import cgroups, devicerequests, environment, parts, secrets, security, shm, userns, workdir
from .config import SAMPAN_RUNTIME, SYSTEMD
from .container import Container
from .engine import Engine
from .exec_config import ExecConfig

PARKED_NAMESPACES = ("mount", "pid", "ipc", "uts", "network")


class Plan(Struct, frozen=True):
    """`namespaces`: kind to the path of one to join, or None for a new one; a kind that is missing is the host's."""

    namespaces: dict[str, str | None]
    parked: bool
    cgroup: str
    runtime: list[str]


def plan(engine: Engine, container: Container) -> Plan:
    """Which namespaces, cgroup and runtime; Conflict where a container that it joins does not run."""
    host = container.host_config
    namespaces: dict[str, str | None] = {"mount": None}
    for kind, file, mode in (
        ("pid", "pid", host.pid_mode),
        ("ipc", "ipc", host.ipc_mode),
        ("network", "net", host.network_mode),
        ("uts", "uts", host.uts_mode),
        ("cgroup", "cgroup", host.cgroupns_mode),
    ):
        if mode.startswith("container:"):
            namespaces[kind] = f"/proc/{joined(engine, container, mode).state.pid}/ns/{file}"
        elif mode != "host":
            namespaces[kind] = None
    if userns.ids(engine, container) is not None:
        namespaces["user"] = _user_namespace(engine, container)
    runtime = _runtime(engine, container)
    fresh = all(namespaces.get(kind, "") is None for kind in PARKED_NAMESPACES)
    parked = fresh and not runtime and "user" not in namespaces
    return Plan(namespaces, parked, cgroups.name(engine, container), runtime)


def _user_namespace(engine: Engine, container: Container) -> str | None:
    """Who shares a namespace with another container must share its user namespace too; else a new one."""
    host = container.host_config
    for mode in (host.network_mode, host.ipc_mode, host.pid_mode):
        if mode.startswith("container:"):
            other = joined(engine, container, mode)
            if userns.ids(engine, other) is not None:
                return f"/proc/{other.state.pid}/ns/user"
    return None


def joined(engine: Engine, container: Container, mode: str) -> Container:
    """The running container that `container:<ref>` names."""
    other = engine.containers.get(mode.removeprefix("container:"))
    if other.id == container.id:
        raise InvalidArgument(f"cannot join own namespace: {mode}")
    if other.restarting:
        raise Conflict(f"container {other.id} is restarting, wait until the container is running")
    if not other.running:
        raise Conflict(f"cannot join network of a non running container: {other.id}")
    return other


def has_own_network(container: Container) -> bool:
    """Whether it has a network namespace that we give addresses to."""
    mode = container.host_config.network_mode
    return not container.config.network_disabled and mode != "host" and not mode.startswith("container:")


def _runtime(engine: Engine, container: Container) -> list[str]:
    name = container.host_config.runtime
    if name in ("", SAMPAN_RUNTIME):
        return []
    runtime = engine.config.runtimes.get(name)
    if runtime is None:
        raise InvalidArgument(f"unknown or invalid runtime name: {name}")
    driver = ["--systemd-cgroup"] if engine.config.cgroup_driver == SYSTEMD else []
    return [runtime.path, *runtime.args, *driver]


def files_of(engine: Engine, container: Container) -> str:
    """The directory with hosts, hostname and resolv.conf: the joined container's where the network is shared."""
    mode = container.host_config.network_mode
    if mode.startswith("container:"):
        return engine.paths.container(joined(engine, container, mode).id)
    return engine.paths.container(container.id)


def inputs(
    engine: Engine, container: Container, planned: Plan, rootfs: str, mounts: list[bundle.BundleMount]
) -> bundle.Inputs:
    """All that the OCI configuration is made from; resolves the user and makes the working directory."""
    config, host = container.config, container.host_config
    edits = devicerequests.edits(engine.config, host.device_requests)
    user = users.resolve(rootfs, config.user, host.group_add or [])
    mapping = userns.ids(engine, container)
    with userns.making(mapping):
        workdir.ensure(rootfs, config.working_dir or "/")
    defaults = engine.config.container
    given = {limit.name for limit in host.ulimits or []}
    return bundle.Inputs(
        container_id=container.id,
        config=config,
        host_config=host,
        args=[container.path, *container.args],
        env=environment.compose(engine, container, tty=config.tty),
        rootfs=rootfs,
        user=user,
        mounts=[
            *_etc_mounts(engine, container, mounts),
            *mounts,
            *shm.mounts(engine, container),
            *secrets.mounts(engine, container),
        ],
        hostname=config.hostname,
        namespaces=planned.namespaces,
        cgroup=planned.cgroup,
        seccomp=security.seccomp(engine),
        ulimits=[*(host.ulimits or []), *(limit for limit in defaults.ulimits if limit.name not in given)],
        no_new_privileges=defaults.no_new_privileges,
        init=wants_init(engine, container),
        pids_limit=parts.pids_limit(engine.config, engine.kernel),
        id_mappings=mapping.as_oci() if mapping else None,
        edits=edits,
    )


def wants_init(engine: Engine, container: Container) -> bool:
    """`--init`, or the daemon's default; never where the pid namespace is another's."""
    asked = container.host_config.init
    wanted = asked if isinstance(asked, bool) else engine.config.container.init
    return wanted and container.host_config.pid_mode in ("", "private")


def _etc_mounts(engine: Engine, container: Container, mounts: list[bundle.BundleMount]) -> list[bundle.BundleMount]:
    taken = {mount.destination for mount in mounts}
    directory = files_of(engine, container)
    return [
        bundle.BundleMount(f"/etc/{name}", "bind", f"{directory}/{name}", ("rbind", "rprivate"))
        for name in ("resolv.conf", "hostname", "hosts")
        if f"/etc/{name}" not in taken and os.path.exists(f"{directory}/{name}")
    ]


def create_request(engine: Engine, container: Container, planned: Plan, document: dict[str, object]) -> CreateContainer:
    """The shim's orders; an external runtime reads the configuration from the bundle's file."""
    directory = engine.paths.container(container.id)
    config, size = container.config, container.host_config.console_size or [0, 0]
    if planned.runtime:
        with open(f"{directory}/config.json", "wb") as file:
            file.write(msgspec.json.encode(document))
    return CreateContainer(
        bundle=directory,
        state_dir=directory,
        cgroup=planned.cgroup,
        spec=None if planned.runtime else document,
        tty=config.tty,
        open_stdin=config.open_stdin,
        stdin_once=config.stdin_once,
        console_size=(size[0], size[1]),
        log=log_setup(engine, container),
        runtime=planned.runtime,
    )


def log_setup(engine: Engine, container: Container) -> LogSetup:
    """Where the container's output is written."""
    config = container.config
    return LogSetup(
        driver=container.host_config.log_config.type,
        config=container.host_config.log_config.config or {},
        path=engine.paths.container(container.id),
        info={
            "container_id": container.id,
            "name": f"/{container.name}",
            "entrypoint": container.path,
            "args": container.args,
            "image_id": container.image_id,
            "image_name": config.image,
            "created": nanoseconds(container.created),
            "env": config.env or [],
            "labels": config.labels or {},
        },
    )


def exec_inputs(
    engine: Engine, container: Container, config: ExecConfig, console_size: tuple[int, int] = (0, 0)
) -> bundle.ExecInputs:
    """What an exec's OCI process is made from; `console_size` is (height, width), 0 where nobody said."""
    rootfs = engine.live(container).rootfs
    user = users.resolve(rootfs, config.user or container.config.user, container.host_config.group_add or [])
    return bundle.ExecInputs(
        host_config=container.host_config,
        args=config.cmd or [],
        env=environment.compose(engine, container, tty=config.tty, extra=config.env or []),
        user=user,
        cwd=config.working_dir or container.config.working_dir or "/",
        tty=config.tty,
        privileged=config.privileged,
        no_new_privileges=engine.config.container.no_new_privileges,
        console_size=console_size,
    )
