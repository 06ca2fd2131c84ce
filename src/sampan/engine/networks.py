"""Networks and containers together: create, connect, attach at start, detach at exit."""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec

from ..errors import Conflict, Forbidden, InvalidArgument, NotFound, SampanError
from ..linux.namespaces import CLONE_NEWNET, open_namespace
from ..model.container import ContainerConfig, EndpointSettings, HostConfig, NetworkingConfig, PortMap
from ..model.filters import Filters, parse_moment
from ..model.filters import check as check_filters
from ..model.times import rfc3339
from ..network.checks import check_settings
from ..network.creation import PREDEFINED
from ..network.endpoint import mac_of
from ..network.inspection import Check, MapNetwork
from ..network.ports import changed_bindings
from ..network.sandbox import Files, Sandbox, SandboxRequest
from ..network.spec import Network, NetworkContainer, NetworkSpec
from . import copies, environment, etc
from .container import Container
from .engine import Engine


def mode(host_config: HostConfig) -> str:
    """The network mode with Docker's default spelled out."""
    given = host_config.network_mode
    return "bridge" if given in ("", "default") else given


def plan(
    engine: Engine, config: ContainerConfig, host_config: HostConfig, networking: NetworkingConfig | None
) -> dict[str, EndpointSettings]:
    """At create: the networks asked for, by name, the mode's own first; InvalidArgument with Docker's texts."""
    primary = mode(host_config)
    asked = {name: settings or EndpointSettings() for name, settings in _asked(networking).items()}
    if primary.startswith("container:") or config.network_disabled is True:
        return {}
    planned: dict[str, EndpointSettings] = {}
    first = next((name for name in asked if _same(engine, name, primary)), None)
    planned[primary] = asked.pop(first) if first is not None else EndpointSettings()
    mac = config.mac_address
    if mac and not planned[primary].mac_address:
        planned[primary] = msgspec.structs.replace(planned[primary], mac_address=str(mac))
    for name, settings in asked.items():
        planned[_name(engine, name)] = settings
    for name, settings in planned.items():
        _check(engine, name, settings)
    if primary == "host":
        # Nothing will be attached that could fill it in.
        planned[primary].network_id = engine.networks.get("host").id
    return planned


def _asked(networking: NetworkingConfig | None) -> dict[str, EndpointSettings | None]:
    return (networking.endpoints_config if networking else None) or {}


def _name(engine: Engine, ref: str) -> str:
    try:
        return engine.networks.get(ref).name
    except NotFound:
        return ref  # it may exist by the time of the start


def _same(engine: Engine, first: str, second: str) -> bool:
    names = {"default": "bridge"}
    return _name(engine, names.get(first, first)) == _name(engine, second)


def _check(engine: Engine, name: str, settings: EndpointSettings) -> None:
    try:
        network = engine.networks.get(name)
    except NotFound:
        return
    try:
        check_settings(network, settings)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid config for network {name}: {error}") from None


# Start and exit


def _request(container: Container, netns_fd: int, published: PortMap | None = None) -> SandboxRequest:
    config, host = container.config, container.host_config
    exposed = config.exposed_ports if isinstance(config.exposed_ports, dict) else {}
    links = tuple(environment.links(container))
    return SandboxRequest(
        container_id=container.id,
        name=container.name,
        netns_fd=netns_fd,
        networks=container.networks,
        hostname=config.hostname,
        domainname=config.domainname,
        port_bindings=host.port_bindings or {},
        exposed_ports=tuple({**exposed, **dict.fromkeys(host.port_bindings or {})}),
        publish_all=host.publish_all_ports,
        links=links if mode(host) == "bridge" else (),
        dns=tuple(host.dns or ()),
        dns_search=tuple(host.dns_search or ()),
        dns_options=tuple(host.dns_options or ()),
        extra_hosts=tuple(host.extra_hosts or ()),
        published=published,
    )


async def attach_all(engine: Engine, container: Container, netns_fd: int) -> None:
    """At start: plug the container into its networks; what was given goes into the record. All or nothing."""
    try:
        _refuse_mixture(container)
        sandbox = await engine.networks.attach(_request(container, netns_fd))
    except SampanError as error:
        raise type(error)(f"failed to set up container networking: {error}") from error
    _record(container, sandbox)
    for name in container.networks:
        _event(engine, "connect", engine.networks.get(name), container)


_ONLY_NONE = "container cannot be connected to multiple networks with one of the networks in private (none) mode"
_ONLY_AT_CREATE = "cannot connect container to host network - container must be created in host network mode"


def _refuse_mixture(container: Container) -> None:
    if "host" in container.networks and mode(container.host_config) != "host":
        raise InvalidArgument(_ONLY_AT_CREATE)
    if "none" in container.networks and len(container.networks) > 1:
        raise InvalidArgument(_ONLY_NONE)


def _record(container: Container, sandbox: Sandbox) -> None:
    container.networks = sandbox.endpoints
    container.ports = sandbox.ports


async def detach_all(engine: Engine, container: Container) -> None:
    """At exit: addresses and ports are free; what was given leaves the record."""
    attached = engine.networks.sandbox(container.id) is not None
    await engine.networks.detach(container.id)
    container.networks = {name: cleared(settings) for name, settings in container.networks.items()}
    container.ports = {}
    for name in container.networks if attached else ():
        try:
            _event(engine, "disconnect", engine.networks.get(name), container)
        except NotFound:
            continue


def cleared(settings: EndpointSettings) -> EndpointSettings:
    """What was asked for, without what was given. A MAC address that was made from the address is not kept."""
    mac = settings.mac_address
    if settings.endpoint_id and mac in made_macs(settings):
        mac = ""
    return msgspec.structs.replace(
        settings, endpoint_id="", gateway="", ip_address="", ip_prefix_len=0, ipv6_gateway="",
        global_ipv6_address="", global_ipv6_prefix_len=0, mac_address=mac,
    )  # fmt: skip


def made_macs(settings: EndpointSettings) -> Iterable[str]:
    """The MAC addresses that the engine would have made for the given addresses."""
    return [mac_of(text) for text in (settings.ip_address, settings.global_ipv6_address) if text]


async def restore(engine: Engine) -> None:
    """After a restart of the daemon: take over the networks of the containers that run on."""
    requests, opened = [], []
    for container in engine.containers:
        if not container.running or not container.networks:
            continue
        try:
            netns_fd = open_namespace(container.state.pid, CLONE_NEWNET)
        except OSError:
            continue  # it ended just now
        opened.append(netns_fd)
        requests.append(_request(container, netns_fd, container.ports))
    try:
        await engine.networks.restore(requests)
        engine.warnings += engine.networks.warnings
    finally:
        for netns_fd in opened:
            os.close(netns_fd)


def files(engine: Engine, container: Container) -> Files:
    """Contents of /etc/hosts, /etc/resolv.conf and /etc/hostname for a container that is attached."""
    return engine.networks.files(container.id)


def _event(engine: Engine, action: str, network: Network, container: Container | None = None) -> None:
    about = {"name": network.name, "type": network.driver}
    if container is not None:
        about["container"] = container.id
    engine.events.publish("network", action, network.id, about)


# The API's operations


async def create(engine: Engine, spec: NetworkSpec) -> Network:
    """Make a network."""
    network = await engine.networks.create(spec)
    _event(engine, "create", network)
    return network


def list_networks(engine: Engine, filters: Filters) -> list[Network]:
    """Networks that match Docker's filters."""
    return list(engine.networks.list(filters))


def inspect(engine: Engine, ref: str) -> tuple[Network, dict[str, NetworkContainer]]:
    """A network and the running containers on it, by container id."""
    network = engine.networks.get(ref)
    return network, engine.networks.members(network.id)


async def remove(engine: Engine, ref: str) -> None:
    """Remove a network that no running container is on."""
    _event(engine, "destroy", await engine.networks.remove(ref))


async def prune(engine: Engine, filters: Filters) -> list[str]:
    """Remove unused networks; their names."""
    check_filters(filters, ("label", "label!", "until"))
    before = [rfc3339(int(parse_moment(text) * 1e9)) for text in filters.get("until", ())]
    gone = await engine.networks.prune({**filters, "until": before})
    for network in gone:
        _event(engine, "destroy", network)
    engine.events.publish("network", "prune", "", {"reclaimed": "0"})
    return [network.name for network in gone]


async def connect(engine: Engine, ref: str, container_ref: str, settings: EndpointSettings | None) -> None:
    """Connect a container, running or not, to a network."""
    network = engine.networks.get(ref)
    container = engine.containers.get(container_ref)
    settings = settings or EndpointSettings()
    async with engine.live(container).lock:
        _refuse_connection(container, network, settings)
        if container.running:
            before = files(engine, container)
            given = await engine.networks.connect(container.id, network.id, settings)
            container.networks[network.name] = given
            _refresh(engine, container, before)
            _event(engine, "connect", network, container)
        else:
            container.networks[network.name] = settings
        engine.containers.save(container)
        copies.keep(engine, container)


def _refuse_connection(container: Container, network: Network, settings: EndpointSettings) -> None:
    if network.name not in PREDEFINED:
        check_settings(network, settings)
    if network.name in container.networks:
        raise Forbidden(f"endpoint with name {container.name} already exists in network {network.name}")
    if network.name == "none" or "none" in container.networks:
        raise Forbidden(_ONLY_NONE)
    if mode(container.host_config) == "host" or mode(container.host_config).startswith("container:"):
        raise Forbidden("container sharing network namespace with another container or host cannot be connected to "
                        "any other network")  # fmt: skip
    if network.name == "host":
        raise Forbidden(_ONLY_AT_CREATE)
    if container.state.status in ("dead", "removing"):
        raise Conflict(f"container {container.id} is marked for removal and cannot be connected or disconnected to "
                       "the network")  # fmt: skip
    if network.name in PREDEFINED:
        check_settings(network, settings)


async def disconnect(engine: Engine, ref: str, container_ref: str) -> None:
    """Disconnect a container from a network. No endpoint outlives its container, so there is nothing to force."""
    network = engine.networks.get(ref)
    container = engine.containers.get(container_ref)
    if network.name == "host" and network.name in container.networks:
        raise Forbidden("cannot disconnect container from host network - container was created in host network mode")
    async with engine.live(container).lock:
        if network.name not in container.networks:
            raise Forbidden(f"container {container.id} is not connected to network {network.name}")
        if engine.networks.sandbox(container.id) is not None:
            before = files(engine, container)
            await engine.networks.disconnect(container.id, network.id)
            _refresh(engine, container, before)
            _event(engine, "disconnect", network, container)
        del container.networks[network.name]
        engine.containers.save(container)
        copies.keep(engine, container)


def _refresh(engine: Engine, container: Container, before: Files) -> None:
    """Ports, and the files under /etc as far as the container left them as they were."""
    sandbox = engine.networks.sandbox(container.id)
    if sandbox is not None:
        container.ports = sandbox.ports
    etc.update(engine, container, before, files(engine, container))


def network_map(engine: Engine) -> list[MapNetwork]:
    """Which running containers sit on which networks, with which ports."""
    return engine.networks.inspection.map()


async def check(engine: Engine, source: str, target: str, port: int | None) -> Check:
    """Whether one running container reaches another (on a TCP port), and if not, what stops it."""
    one, other = engine.containers.get(source), engine.containers.get(target)
    return await engine.networks.inspection.check(one.id, other.id, port)


async def publish(engine: Engine, ref: str, add: PortMap, remove: Iterable[str]) -> PortMap:
    """Change the published ports of a container, at once when it runs; stored for its next start."""
    container = engine.containers.get(ref)
    remove = list(remove)
    async with engine.live(container).lock:
        published = container.ports
        if container.running:
            container.ports = await engine.networks.publish(container.id, add, remove)
        bindings = container.host_config.port_bindings or {}
        container.host_config.port_bindings = changed_bindings(bindings, add, remove, published)
        engine.containers.save(container)
        copies.keep(engine, container)
    return container.ports
