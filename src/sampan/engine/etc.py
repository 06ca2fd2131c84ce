"""The files that a container sees as /etc/hosts, /etc/hostname and /etc/resolv.conf.

A container may write to its own: what is read back is bounded, any bytes survive, and no other container suffers.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable

from ..network.files import merged_hosts, relinked_hosts
from ..network.sandbox import Files
from . import environment, userns
from .container import Container
from .engine import Engine

FILES = ("resolv.conf", "hostname", "hosts")
LARGEST = 1 << 20
"""More than a megabyte is nobody's hosts file: it is left as it is."""


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
    _rewrite(engine, container, "hosts", lambda text: merged_hosts(text, before.hosts, after.hosts))
    resolv_conf = {before.resolv_conf: after.resolv_conf}
    _rewrite(engine, container, "resolv.conf", lambda text: resolv_conf.get(text, text))


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
                _rewrite(engine, other, "hosts", functools.partial(_relinked, alias, endpoint.ip_address))


def _relinked(alias: str, address: str, text: str) -> str:
    return relinked_hosts(text, alias, address)


def _rewrite(engine: Engine, container: Container, name: str, changed: Callable[[str], str]) -> None:
    path = f"{engine.paths.container(container.id)}/{name}"
    try:
        current = _read(path, LARGEST + 1)
        if len(current) > LARGEST:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        text = changed(current)
        if text != current:
            _write(path, text, userns.root(engine, container))
    except OSError as error:
        engine.warn(f"container {container.id}: cannot change its {name}: {error}")


def _read(path: str, limit: int = -1) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read(limit)
    except FileNotFoundError:
        return ""


def _write(path: str, text: str, owner: tuple[int, int]) -> None:
    # In place: a rename would leave the running container with the old inode.
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.write(text)
        os.fchown(file.fileno(), *owner)
