"""S19: what an image says of itself changes nothing that the host does for its containers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sampan.engine import images, remove
from sampan.engine.engine import Engine
from sampan.engine.merge import RESERVED_LABEL_PREFIXES
from sampan.image.importing import ImportOptions
from sampan.oci import platform, reference

from ..support import engine as support
from ..support.images import busybox_rootfs

HOSTILE = {
    "dev.sampan.secrets": "root-password",
    "dev.sampan.privileged": "true",
    "com.docker.swarm.task.id": "x",
    "io.podman.annotations.privileged": "TRUE",
    "io.podman.annotations.seccomp": "unconfined",
    "io.podman.annotations.label": "disable",
    "io.containers.capabilities": "CAP_SYS_ADMIN",
    "io.containers.autoupdate": "registry",
    "io.kubernetes.cri-o.Devices": "/dev/mem",
    "io.kubernetes.cri-o.userns-mode": "host",
    "run.oci.keep_original_groups": "1",
    "run.oci.hooks.prestart": '[{"path": "/bin/sh"}]',
    "run.oci.systemd.force_cgroup_v1": "/sys/fs/cgroup",
    "org.systemd.property.DeviceAllow": "['/dev/mem rwm']",
    "RUN": "docker run --privileged IMAGE",
    "cdi.k8s.io/all": "vendor.com/device=all",
}


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    with support.own_network():
        directory = support.new_directory()
        async with support.opened(directory) as engine:
            yield engine
            await support.clear(engine)
        support.discard(directory)


async def add(engine: Engine, name: str, changes: list[str]) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield busybox_rootfs()

    options = ImportOptions(platform=platform.host(), changes=['CMD ["sleep", "1000"]', *changes])
    await images.import_image(engine, body(), options, reference.parse(name))


async def document(engine: Engine, image: str) -> dict[str, Any]:
    """The OCI configuration that a container of the image runs with, its id taken out."""
    container = await support.up(engine, "sleep", "1000", image_name=image)
    text = Path(engine.paths.container(container.id), "config.json").read_text()
    await remove.remove(engine, container.id, force=True)
    found: dict[str, Any] = json.loads(text.replace(container.id, "ID").replace(container.id[:12], "ID"))
    return found


async def test_s19_labels_of_an_image_select_nothing(engine: Engine) -> None:
    await add(engine, "plain", [])
    await add(engine, "hostile", [f"LABEL {json.dumps(key)}={json.dumps(value)}" for key, value in HOSTILE.items()])
    stored = engine.images.get("hostile").config.config
    assert stored is not None and stored.labels == HOSTILE, "the image really says so"
    plain, hostile = await document(engine, "plain"), await document(engine, "hostile")
    for found in (plain, hostile):
        for mount in found["mounts"]:  # the directory of the layer differs
            mount["source"] = mount["source"].rpartition("/")[2]
        found["root"].pop("path")
    assert hostile == plain


async def test_s19_reserved_labels_are_the_users_alone(engine: Engine) -> None:
    await add(engine, "hostile", ['LABEL dev.sampan.x="image" other="image"'])
    container = await support.make(engine, "true", image_name="hostile", labels={"dev.sampan.mine": "user"})
    assert "dev.sampan." in RESERVED_LABEL_PREFIXES
    assert container.config.labels == {"other": "image", "dev.sampan.mine": "user"}
