"""The files that a container sees as /etc/hosts, /etc/hostname and /etc/resolv.conf."""

from __future__ import annotations

import os

from . import networks
from .container import Container
from .engine import Engine

FILES = ("resolv.conf", "hostname", "hosts")


def write(engine: Engine, container: Container) -> None:
    """Write all three into the container's directory; called at each start, once the addresses are known."""
    directory = engine.paths.container(container.id)
    if engine.networks.sandbox(container.id) is not None:
        made = networks.files(engine, container)
        contents = {"hosts": made.hosts, "resolv.conf": made.resolv_conf, "hostname": made.hostname}
    else:
        # The host's network is the container's.
        hostname = container.config.hostname or os.uname().nodename
        contents = {"hosts": _read("/etc/hosts"), "resolv.conf": _read("/etc/resolv.conf"), "hostname": f"{hostname}\n"}
    for name, text in contents.items():
        _write(f"{directory}/{name}", text)


def write_hosts(engine: Engine, container: Container) -> None:
    """Write `hosts` anew in place (it is bind-mounted): also when a running container joins or leaves a network."""
    _write(f"{engine.paths.container(container.id)}/hosts", networks.files(engine, container).hosts)


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _write(path: str, text: str) -> None:
    # In place: a rename would leave the running container with the old inode.
    with open(path, "w") as file:
        file.write(text)
