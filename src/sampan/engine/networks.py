"""Networks of a container: a placeholder until the network helper's version lands (docs/ARCHITECTURE.md, joins)."""

from __future__ import annotations

from ..model.container import ContainerConfig, EndpointSettings, HostConfig, NetworkingConfig
from .container import Container
from .engine import Engine


def plan(
    engine: Engine, config: ContainerConfig, host_config: HostConfig, networking: NetworkingConfig | None
) -> dict[str, EndpointSettings]:
    """The networks that a new container is to join."""
    return {}


async def attach_all(engine: Engine, container: Container, netns_fd: int) -> None:
    """Join all of the container's networks."""


async def detach_all(engine: Engine, container: Container) -> None:
    """Leave them."""


def restore(engine: Engine) -> None:
    """Take over what running containers have."""


def hosts(engine: Engine, container: Container) -> list[tuple[str, list[str]]]:
    """Lines of /etc/hosts."""
    return []


def resolv_conf(engine: Engine, container: Container) -> str:
    """/etc/resolv.conf."""
    with open("/etc/resolv.conf") as file:
        return file.read()
