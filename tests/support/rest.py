"""An engine at rest: images, snapshots, volumes and containers that never run. No network, no zygote."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sampan.engine import create, images
from sampan.engine.config import EngineConfig
from sampan.engine.container import Container
from sampan.engine.engine import Engine
from sampan.image.importing import ImportOptions
from sampan.model.container import CreateRequest, HostConfig
from sampan.oci.platform import Platform
from sampan.oci.reference import parse

from .tars import Member, directory, symlink, tar

TREE = (
    directory("bin"), Member("bin/sh", b"\x7fELF", mode=0o755), directory("etc"),
    Member("etc/passwd", b"root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\n"), Member("etc/group", b"app:x:1001:\n"),
    directory("data", 0o750, uid=7, gid=8), Member("data/seed", b"seed"), symlink("link", "data"),
    directory("tmp", 0o1777),
)  # fmt: skip


async def body(data: bytes) -> AsyncIterator[bytes]:
    """A request's body."""
    yield data


@asynccontextmanager
async def engine(root: Path) -> AsyncIterator[Engine]:
    """An engine with the image `base`."""
    made = Engine(EngineConfig(data_root=f"{root}/data", exec_root=f"{root}/run"))
    try:
        await add_image(made, "base", tar(*TREE))
        yield made
    finally:
        for container in made.containers:
            while made.snapshots.mounted(container.id):
                made.snapshots.unmount(container.id)
        await made.close()


async def add_image(made: Engine, name: str, stream: io.BytesIO) -> None:
    """Import a tar as an image."""
    options = ImportOptions(Platform("amd64", "linux"))
    await images.import_image(made, body(stream.getvalue()), options, parse(name))


async def container(made: Engine, name: str = "box", image: str = "base", **host: object) -> Container:
    """A created container; `config_*` fields go to the configuration, the others to the HostConfig."""
    config = {key.removeprefix("config_"): host.pop(key) for key in list(host) if key.startswith("config_")}
    settings = HostConfig(network_mode="none", **host)  # type: ignore[arg-type]
    request = CreateRequest(image=image, cmd=["/bin/sh"], host_config=settings, **config)  # type: ignore[arg-type]
    created = await create.create(made, name, request)
    return made.containers.get(created.id)
