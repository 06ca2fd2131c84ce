"""A container as `ps` and `inspect` show it: from the engine's record to wire's documents."""

from __future__ import annotations

from _blake2 import blake2b  # hashlib would load OpenSSL

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ..engine import environment, listing
from ..engine.container import Container
from ..engine.engine import Engine
from ..engine.listing import Size
from ..errors import InvalidArgument, NotFound
from ..model.container import EndpointSettings, HostConfig, PortMap, port_number
from ..model.times import nanoseconds
from ..wire import container as wire
from .versions import Version


class Names:
    """The names that a listing shows, looked up once for all its containers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._images: dict[str, str] = {}
        self._aliases: dict[str, list[str]] = {}
        for other in engine.containers:
            for link in other.host_config.links or ():
                target, _, alias = link.removeprefix("/").partition(":")
                shown = f"/{other.name}/{alias.rpartition('/')[2] or target}"
                self._aliases.setdefault(target, []).append(shown)

    def of(self, container: Container) -> list[str]:
        """Its own, and those that other containers' links give it: `/other/alias`."""
        aliases = self._aliases
        return [f"/{container.name}", *aliases.get(container.name, ()), *aliases.get(container.id, ())]

    def image(self, container: Container) -> str:
        """The name it was made with, or the image's id once that name is another image's."""
        asked = container.config.image
        if asked not in self._images:
            self._images[asked] = self._resolve(asked)
        return asked if self._images[asked] == container.image_id else container.image_id

    def _resolve(self, name: str) -> str:
        try:
            return self._engine.images.resolve(name)
        except (NotFound, InvalidArgument):
            return ""


def summary(names: Names, container: Container, size: Size | None, version: Version) -> wire.ContainerSummary:
    """One row of `GET /containers/json`."""
    annotations = container.host_config.annotations
    shown = annotations if isinstance(annotations, dict) and annotations and version >= (1, 46) else UNSET
    return wire.ContainerSummary(
        id=container.id,
        names=names.of(container),
        image=names.image(container),
        image_id=container.image_id,
        command=command(container),
        created=nanoseconds(container.created) // 1_000_000_000,
        ports=ports(container),
        size_rw=size.rw or UNSET if size else UNSET,
        size_root_fs=size.root_fs or UNSET if size else UNSET,
        labels=container.config.labels or {},
        state=container.state.status,
        status=listing.status_text(container),
        host_config=wire.SummaryHostConfig(network_mode=container.host_config.network_mode, annotations=shown),
        network_settings=wire.SummaryNetworks(networks=_networks(container, version, names=False)),
        mounts=mounts(container),
    )


def inspect(engine: Engine, container: Container, size: Size | None, version: Version) -> wire.ContainerInspect:
    """`GET /containers/{id}/json`."""
    directory = engine.paths.container(container.id)
    begun = container.has_been_started
    execs = [key for key, process in engine.live(container).execs.items() if process.running]
    return wire.ContainerInspect(
        id=container.id,
        created=container.created,
        path=container.path,
        args=container.args,
        state=state(container),
        image=container.image_id,
        resolv_conf_path=f"{directory}/resolv.conf" if begun else "",
        hostname_path=f"{directory}/hostname" if begun else "",
        hosts_path=f"{directory}/hosts" if begun else "",
        log_path=_log_path(container, directory) if begun else "",
        name=f"/{container.name}",
        restart_count=container.state.restart_count,
        driver=container.driver,
        platform=container.platform,
        mount_label="",
        process_label="",
        app_armor_profile="",
        exec_ids=execs or None,
        host_config=_host_config(container),
        graph_driver=graph_driver(engine, container),
        size_rw=size.rw if size else UNSET,
        size_root_fs=size.root_fs if size else UNSET,
        mounts=mounts(container),
        config=container.config,
        network_settings=_network_settings(container, version),
    )


def _host_config(container: Container) -> HostConfig:
    """Links as Docker tells them: resolved on the default networks, else with the endpoint that has them."""
    host = container.host_config
    if not host.links:
        return host
    pairs = environment.links(container) if host.network_mode in ("bridge", "none") else ()
    shown = [f"/{target}:/{container.name}/{alias}" for target, alias in pairs]
    return replace(host, links=shown or None)


def state(container: Container) -> wire.State:
    """`State` of inspect: the status word once more as flags."""
    kept = container.state
    return wire.State(
        status=kept.status,
        running=container.running or container.restarting,
        paused=container.paused,
        restarting=container.restarting,
        oom_killed=kept.oom_killed,
        dead=kept.status == "dead",
        pid=kept.pid,
        exit_code=kept.exit_code,
        error=kept.error,
        started_at=kept.started_at,
        finished_at=kept.finished_at,
        health=kept.health if kept.health is not None else UNSET,
    )


def command(container: Container) -> str:
    """Program and arguments on one line, quoted where there are blanks."""
    words = [f"'{word}'" if " " in word else word for word in container.args]
    return " ".join([container.path, *words])


def mounts(container: Container) -> list[wire.MountPoint]:
    """The mounts without what only the engine needs to know."""
    return [
        wire.MountPoint(
            type=mount.type,
            name=mount.name or UNSET,
            source=mount.source,
            destination=mount.destination,
            driver=mount.driver or UNSET,
            mode=mount.mode,
            rw=mount.rw,
            propagation=mount.propagation,
        )
        for mount in container.mounts
    ]


def ports(container: Container) -> list[wire.Port]:
    """Published and merely exposed ports of a running container, as `ps` shows them."""
    shown = []
    for key, bindings in port_map(container).items():
        number, protocol = port_number(key), key.partition("/")[2]
        if not bindings:
            shown.append(wire.Port(private_port=number, type=protocol))
        for binding in bindings or ():
            public: int | UnsetType = int(binding.host_port) if binding.host_port.isdigit() else UNSET
            shown.append(wire.Port(ip=binding.host_ip or UNSET, private_port=number, public_port=public, type=protocol))
    return shown


def port_map(container: Container) -> PortMap:
    """`NetworkSettings.Ports`: exposed ports are there without bindings while a network is joined."""
    exposed = container.config.exposed_ports
    if not container.running or not any(held.endpoint_id for held in container.networks.values()):
        return {}
    if container.host_config.network_mode in ("host", "none"):
        return {}
    return {**dict.fromkeys(exposed if isinstance(exposed, dict) else ()), **container.ports}


def _networks(container: Container, version: Version, *, names: bool) -> dict[str, EndpointSettings]:
    """Endpoints by network; `ps` leaves the DNS names out, and they are null before 1.44."""
    if names and version >= (1, 44):
        return container.networks
    return {name: replace(held, dns_names=None) for name, held in container.networks.items()}


def _network_settings(container: Container, version: Version) -> wire.NetworkSettings:
    settings = wire.NetworkSettings(ports=port_map(container), networks=_networks(container, version, names=True))
    if container.running and container.networks:
        # A file that nsenter takes, as Docker's is; no mount of ours has to be kept for it.
        settings.sandbox_key = f"/proc/{container.state.pid}/ns/net"
        settings.sandbox_id = blake2b(
            f"{container.id} {container.state.started_at}".encode(), digest_size=32
        ).hexdigest()
    default = container.networks.get("bridge")
    if default is not None:
        settings.endpoint_id = default.endpoint_id
        settings.gateway = default.gateway
        settings.global_ipv6_address = default.global_ipv6_address
        settings.global_ipv6_prefix_len = default.global_ipv6_prefix_len
        settings.ip_address = default.ip_address
        settings.ip_prefix_len = default.ip_prefix_len
        settings.ipv6_gateway = default.ipv6_gateway
        settings.mac_address = default.mac_address
    return settings


def graph_driver(engine: Engine, container: Container) -> wire.GraphDriver:
    """Where the layers lie, in the words of Docker's overlay2."""
    driver = engine.snapshots
    upper = driver.upper(container.id) if driver.exists(container.id) else None
    if upper is None:
        return wire.GraphDriver(data=None, name=driver.name)
    base = upper.rpartition("/")[0]
    return wire.GraphDriver(
        data={
            "ID": container.id,
            "LowerDir": ":".join(driver.lowers(container.id)),
            "MergedDir": f"{base}/merged",
            "UpperDir": upper,
            "WorkDir": f"{base}/work",
        },
        name=driver.name,
    )


def _log_path(container: Container, directory: str) -> str:
    if container.host_config.log_config.type in ("json-file", ""):
        return f"{directory}/{container.id}-json.log"
    return ""
