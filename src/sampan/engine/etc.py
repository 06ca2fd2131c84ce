"""The files that a container sees as /etc/hosts, /etc/hostname and /etc/resolv.conf."""

from __future__ import annotations

import os

from ..network.sandbox import Files
from . import userns
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
    """The container joined or left a network: rewrite in place (they are bind-mounted) what nobody has edited."""
    directory = engine.paths.container(container.id)
    for name, old, new in (
        ("hosts", before.hosts, after.hosts),
        ("resolv.conf", before.resolv_conf, after.resolv_conf),
    ):
        if old != new and _read(f"{directory}/{name}") == old:
            _write(f"{directory}/{name}", new, userns.root(engine, container))


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
