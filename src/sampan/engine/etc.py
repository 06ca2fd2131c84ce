"""The files that a container sees as /etc/hosts, /etc/hostname and /etc/resolv.conf."""

from __future__ import annotations

import os

from . import networks
from .container import Container
from .engine import Engine

FILES = ("resolv.conf", "hostname", "hosts")
_LOCAL = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def write(engine: Engine, container: Container) -> None:
    """Write all three into the container's directory; called at each start, once the addresses are known."""
    directory = engine.paths.container(container.id)
    hostname = container.config.hostname or os.uname().nodename
    _write(f"{directory}/hostname", f"{hostname}\n")
    _write(f"{directory}/resolv.conf", networks.resolv_conf(engine, container))
    write_hosts(engine, container)


def write_hosts(engine: Engine, container: Container) -> None:
    """Write `hosts` anew in place (it is bind-mounted): also when a running container joins or leaves a network."""
    lines = [f"{address}\t{' '.join(names)}\n" for address, names in networks.hosts(engine, container)]
    if container.host_config.network_mode == "host":
        with open("/etc/hosts") as file:
            text = file.read()
    else:
        text = _LOCAL
    _write(f"{engine.paths.container(container.id)}/hosts", text + "".join(lines))


def _write(path: str, text: str) -> None:
    # In place: a rename would leave the running container with the old inode.
    with open(path, "w") as file:
        file.write(text)
