"""/dev/shm of containers that share their IPC namespace: a tmpfs on the host's side that all of them mount."""

from __future__ import annotations

import os

from ..linux import mount as mounting
from ..runtime import bundle
from . import spec
from .container import Container
from .engine import Engine


def mounts(engine: Engine, container: Container) -> list[bundle.BundleMount]:
    """The bind for `shareable`, `container:` and `host` modes; private ones get their own from the runtime."""
    mode = container.host_config.ipc_mode
    if mode == "shareable":
        return [_bind(_make(engine, container))]
    if mode.startswith("container:"):
        return [_bind(_directory(engine, spec.joined(engine, container, mode)))]
    if mode == "host":
        return [_bind("/dev/shm")]
    return []


def release(engine: Engine, container: Container) -> None:
    """Unmount the shared tmpfs of a container that has ended."""
    directory = _directory(engine, container)
    if os.path.ismount(directory):
        mounting.umount2(directory, mounting.MNT_DETACH)


def _directory(engine: Engine, container: Container) -> str:
    return f"{engine.paths.container(container.id)}/shm"


def _make(engine: Engine, container: Container) -> str:
    directory = _directory(engine, container)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    if not os.path.ismount(directory):
        flags = mounting.MS_NOSUID | mounting.MS_NOEXEC | mounting.MS_NODEV
        mounting.mount("shm", directory, "tmpfs", flags, f"mode=1777,size={container.host_config.shm_size}")
    return directory


def _bind(source: str) -> bundle.BundleMount:
    return bundle.BundleMount("/dev/shm", "bind", source, ("rbind", "rprivate"))
