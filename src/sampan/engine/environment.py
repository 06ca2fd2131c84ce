"""The environment of a container's processes, as Docker's daemon composes it."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import SampanError
from ..model.container import EndpointSettings, port_number
from .container import Container
from .engine import Engine

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HIDDEN_FROM_LINKS = ("HOME", "PATH", "HOSTNAME", "TERM")


def compose(engine: Engine, container: Container, *, tty: bool, extra: Iterable[str] = ()) -> list[str]:
    """PATH, HOSTNAME, TERM and the links' variables, overridden by the container's own, then by `extra`."""
    base = [DEFAULT_PATH, f"HOSTNAME={container.config.hostname}"]
    if tty:
        base.append("TERM=xterm")
    base += _links(engine, container)
    return override(base, [*(container.config.env or []), *extra])


def override(base: list[str], changes: Iterable[str]) -> list[str]:
    """`NAME=value` sets, a bare `NAME` removes; the order of first appearance is kept."""
    values = {variable.partition("=")[0]: variable for variable in base}
    for change in changes:
        name, equals, _ = change.partition("=")
        if equals:
            values[name] = change
        else:
            values.pop(name, None)
    return list(values.values())


def links(container: Container) -> list[tuple[str, str]]:
    """(container name or id, alias) of each `--link name[:alias]`."""
    found = []
    for link in container.host_config.links or []:
        target, _, alias = link.partition(":")
        target, alias = target.removeprefix("/"), alias.rpartition("/")[2]
        found.append((target, alias or target))
    return found


def check_links(engine: Engine, container: Container) -> None:
    """Before a start: what it is linked to must run, on the same network. (Elsewhere names are asked for when used.)"""
    if container.host_config.network_mode != "bridge":
        return
    for target, alias in links(container):
        child = engine.containers.get(target)
        if not child.running:
            raise SampanError(f"Cannot link to a non running container: /{child.name} AS /{container.name}/{alias}")
        if "bridge" not in child.networks:
            raise SampanError(f"container {child.id} not attached to default bridge network")


def _links(engine: Engine, container: Container) -> list[str]:
    if container.host_config.network_mode != "bridge":
        return []
    variables: list[str] = []
    for target, alias in links(container):
        child = engine.containers.get(target)
        endpoint = child.networks.get("bridge")
        if child.running and endpoint is not None and endpoint.ip_address:
            variables += _link_variables(container, child, alias, endpoint)
    return variables


def _link_variables(parent: Container, child: Container, alias: str, endpoint: EndpointSettings) -> list[str]:
    # https://docs.docker.com/engine/network/links/ "Environment variables"
    prefix = alias.replace("-", "_").upper()
    ports = sorted(child.config.exposed_ports or (), key=port_number)
    variables = []
    for index, (number, _, protocol) in enumerate(port.partition("/") for port in ports):
        url = f"{protocol}://{endpoint.ip_address}:{number}"
        if index == 0:
            variables.append(f"{prefix}_PORT={url}")
        name = f"{prefix}_PORT_{number}_{protocol.upper()}"
        variables += [
            f"{name}={url}",
            f"{name}_ADDR={endpoint.ip_address}",
            f"{name}_PORT={number}",
            f"{name}_PROTO={protocol}",
        ]
    variables.append(f"{prefix}_NAME=/{parent.name}/{alias}")
    for variable in child.config.env or []:
        if variable.partition("=")[0] not in HIDDEN_FROM_LINKS:
            variables.append(f"{prefix}_ENV_{variable}")
    return variables
