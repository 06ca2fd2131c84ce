"""The files that a container sees as /etc/hosts, /etc/hostname and /etc/resolv.conf."""

from __future__ import annotations

import os

from ..network.files import merged_hosts, relinked_hosts
from ..network.sandbox import Files
from . import environment, userns
from .container import Container
from .engine import Engine

FILES = ("resolv.conf", "hostname", "hosts")


def write(engine: Engine, container: Container) -> None:
    """Write all three into the container's directory; called at each start, once the addresses are known."""
    directory = engine.paths.container(container.id)
    if engine.networks.sandbox(container.id) is not None and container.host_config.network_mode != "host":
        made = engine.networks.files(container.id)
        contents = {"hosts": made.hosts, "resolv.conf": made.resolv_conf, "hostname": made.hostname}
    else:
        # The host's network is the container's.
        hostname = container.config.hostname or os.uname().nodename
        contents = {"hosts": _read("/etc/hosts"), "resolv.conf": _read("/etc/resolv.conf"), "hostname": f"{hostname}\n"}
    for name, text in contents.items():
        _write(f"{directory}/{name}", text, userns.root(engine, container))


def update(engine: Engine, container: Container, before: Files, after: Files) -> None:
    """The container joined or left a network: its lines of hosts change, and resolv.conf if nobody has edited it."""
    current = _current(engine, container, "hosts")
    _replace(engine, container, "hosts", merged_hosts(current, before.hosts, after.hosts))
    if _current(engine, container, "resolv.conf") == before.resolv_conf:
        _replace(engine, container, "resolv.conf", after.resolv_conf)


def relink(engine: Engine, container: Container) -> None:
    """The container has started: those that run and have a `--link` to it learn its address."""
    endpoint = container.networks.get("bridge")
    if endpoint is None:
        return
    for other in engine.containers:
        if not other.running or not other.host_config.links or other.host_config.network_mode != "bridge":
            continue
        for target, alias in environment.links(other):
            if target in (container.name, container.id):
                current = _current(engine, other, "hosts")
                _replace(engine, other, "hosts", relinked_hosts(current, alias, endpoint.ip_address))


def _current(engine: Engine, container: Container, name: str) -> str:
    return _read(f"{engine.paths.container(container.id)}/{name}")


def _replace(engine: Engine, container: Container, name: str, text: str) -> None:
    if text != _current(engine, container, name):
        # They are bind-mounted: rewritten in place.
        _write(f"{engine.paths.container(container.id)}/{name}", text, userns.root(engine, container))


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _write(path: str, text: str, owner: tuple[int, int]) -> None:
    # In place: a rename would leave the running container with the old inode.
    with open(path, "w") as file:
        file.write(text)
        os.fchown(file.fileno(), *owner)
