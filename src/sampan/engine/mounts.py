"""Mounts of a container: a placeholder until the storage helper's version lands (docs/ARCHITECTURE.md, joins)."""

from __future__ import annotations

from typing import Any

from ..model.container import ContainerConfig, HostConfig
from ..runtime.bundle import BundleMount
from .container import Container, MountPoint
from .engine import Engine


def plan(
    engine: Engine, config: ContainerConfig, host_config: HostConfig, image_volumes: dict[str, Any]
) -> list[MountPoint]:
    """Parse and check what is asked for; create volumes."""
    return []


def activate(engine: Engine, container: Container, rootfs: str) -> list[BundleMount]:
    """Mount volumes and give the runtime's mounts."""
    return []


def release(engine: Engine, container: Container) -> None:
    """Undo `activate`."""


def remove(engine: Engine, container: Container, *, volumes: bool) -> None:
    """Drop anonymous volumes."""
