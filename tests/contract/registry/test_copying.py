"""Copies between registries and layouts: whole indexes, every digest kept, picked up per platform."""

from __future__ import annotations

import os
from pathlib import Path

from sampan.engine import images as use
from sampan.engine.distribution import inspect_distribution
from sampan.engine.pull import PullRequest, pull
from sampan.engine.push import PushRequest, push
from sampan.image.importing import ImportOptions
from sampan.oci import manifest as manifests
from sampan.oci import reference
from sampan.oci.manifest import Descriptor, Index
from sampan.oci.platform import parse as platform
from sampan.registry.config import ANONYMOUS, Endpoint
from sampan.registry.copying import copy
from sampan.registry.repository import Repository
from sampan.registry.server.config import ServerConfig
from sampan.registry.server.run import serving
from sampan.registry.transport import Transport

from ...support.imagehost import FAST, Host, body, layer_tar

PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")


async def publish(host: Host, address: str) -> str:
    """An index of three platforms; returns its digest."""
    entries = []
    for text in PLATFORMS:
        name = reference.parse(f"{address}/multi:{text.replace('/', '-')}")
        tar = layer_tar({"x": os.urandom(50_000)})
        image = await use.import_image(host, body(tar), ImportOptions(platform(text)), name)
        await push(host, PushRequest(name), lambda _: None)
        size = host.store.size(image.manifest)
        entries.append(Descriptor(manifests.OCI_MANIFEST, image.manifest, size, platform=platform(text)))
    data = manifests.encode(Index(2, entries, media_type=manifests.OCI_INDEX))
    async with Transport(FAST, Endpoint(f"http://{address}", address)) as transport:
        return await Repository(transport, "multi").put_manifest("all", data, manifests.OCI_INDEX)


async def test_an_index_travels_whole_and_is_pulled_per_platform(tmp_path: Path) -> None:
    one = ServerConfig(f"{tmp_path}/one", host="127.0.0.1", port=0)
    two = ServerConfig(f"{tmp_path}/two", host="127.0.0.1", port=0)
    async with serving(one) as (_, first), serving(two) as (_, second):
        source, target = f"127.0.0.1:{first}", f"127.0.0.1:{second}"
        digest = await publish(Host(tmp_path / "maker"), source)

        async def go(origin: str, goal: str) -> str:
            scratch = tmp_path / f"scratch{len(os.listdir(tmp_path))}"
            scratch.mkdir()
            return await copy(origin, goal, str(scratch), FAST, lambda _: ANONYMOUS)

        assert await go(f"docker://{source}/multi:all", f"{target}/copied:all") == digest
        assert await go(f"{target}/copied:all", f"oci:{tmp_path}/layout:all") == digest
        assert await go(f"oci:{tmp_path}/layout:all", f"{target}/back:all") == digest
        host = Host(tmp_path / "host")
        found = await inspect_distribution(host, reference.parse(f"{target}/back:all"), ANONYMOUS)
        assert found.descriptor.digest == digest
        assert [str(entry) for entry in found.platforms] == list(PLATFORMS)
        for text in PLATFORMS:
            request = PullRequest(reference.parse(f"{target}/back:all"), platform=platform(text))
            (image,) = await pull(host, request, lambda _: None)
            assert str(image.config.platform.normalized()) == text
            assert image.repo_digests == [f"{target}/back@{digest}"]
