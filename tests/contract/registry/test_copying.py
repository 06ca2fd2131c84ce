"""Copies between registries and layouts: whole indexes, every digest kept, picked up per platform."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sampan.engine import images as use
from sampan.engine.distribution import inspect_distribution
from sampan.engine.imagecheck import check_images
from sampan.engine.pull import PullRequest, pull
from sampan.engine.push import PushRequest, push
from sampan.errors import NotFound
from sampan.image import variants
from sampan.image.importing import ImportOptions
from sampan.model.progress import Progress
from sampan.oci import digest as digests
from sampan.oci import manifest as manifests
from sampan.oci import reference
from sampan.oci.manifest import Descriptor, Index, Manifest
from sampan.oci.platform import parse as platform
from sampan.registry.config import ANONYMOUS, Endpoint
from sampan.registry.copying import copy
from sampan.registry.repository import Repository
from sampan.registry.server.config import ServerConfig
from sampan.registry.server.run import serving
from sampan.registry.transport import Transport
from sampan.registry.upload import Upload

from ...support.imagehost import FAST, Host, body, layer_tar

PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")


async def publish(host: Host, address: str, *, attested: bool = False) -> str:
    """An index of three platforms, with a statement about each if so wanted; returns its digest."""
    entries = []
    for text in PLATFORMS:
        name = reference.parse(f"{address}/multi:{text.replace('/', '-')}")
        tar = layer_tar({"x": os.urandom(50_000)})
        image = await use.import_image(host, body(tar), ImportOptions(platform(text)), name)
        await push(host, PushRequest(name), lambda _: None)
        size = host.store.size(image.manifest)
        entries.append(Descriptor(manifests.OCI_MANIFEST, image.manifest, size, platform=platform(text)))
    async with Transport(FAST, Endpoint(f"http://{address}", address)) as transport:
        repository = Repository(transport, "multi")
        stated = [await attest(host, repository, entry) for entry in entries] if attested else []
        data = manifests.encode(Index(2, entries + stated, media_type=manifests.OCI_INDEX))
        return await repository.put_manifest("all", data, manifests.OCI_INDEX)


async def attest(host: Host, repository: Repository, entry: Descriptor) -> Descriptor:
    """Push a statement about a manifest, of BuildKit's shape; the index's entry for it."""
    config = manifests.describe(b'{"architecture":"unknown","os":"unknown"}', manifests.OCI_CONFIG)
    statement = manifests.describe(f'{{"subject":"{entry.digest}"}}'.encode(), "application/vnd.in-toto+json")
    host.store.add(b'{"architecture":"unknown","os":"unknown"}')
    host.store.add(f'{{"subject":"{entry.digest}"}}'.encode())
    for blob in (config, statement):
        await Upload(host.store, blob).run(repository, [])
    data = manifests.encode(Manifest(2, config, [statement], media_type=manifests.OCI_MANIFEST))
    about = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": entry.digest}
    digest = await repository.put_manifest(digests.of_bytes(data), data, manifests.OCI_MANIFEST)
    unknown = platform("unknown/unknown")
    return Descriptor(manifests.OCI_MANIFEST, digest, len(data), annotations=about, platform=unknown)


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


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[tuple[Host, str, str]]:
    """A host that has pulled all platforms of an index, amd64 last; the name and the index's digest."""
    config = ServerConfig(f"{tmp_path}/registry", host="127.0.0.1", port=0)
    async with serving(config) as (_, port):
        name = f"127.0.0.1:{port}/multi:all"
        digest = await publish(Host(tmp_path / "maker"), f"127.0.0.1:{port}")
        host = Host(tmp_path / "host")
        for text in reversed(PLATFORMS):
            await pull(host, PullRequest(reference.parse(name), platform=platform(text)), lambda _: None)
        yield host, name, digest


async def test_platforms_of_one_index_belong_together(store: tuple[Host, str, str]) -> None:
    host, name, _ = store
    shown = {text: use.inspect(host, name, platform(text)) for text in PLATFORMS}
    assert [str(image.config.platform.normalized()) for image in shown.values()] == list(PLATFORMS)
    assert use.inspect(host, name).id == shown["linux/amd64"].id
    with pytest.raises(NotFound, match=r"does not provide the specified platform \(linux/s390x\)"):
        use.inspect(host, name, platform("linux/s390x"))
    listed = variants.listed(host.images, shown["linux/amd64"])
    assert [(str(row.platform), row.kind, row.image is not None) for row in listed] == [
        (text, "image", True) for text in PLATFORMS
    ]
    assert [image.id for image in use.list_images(host, {})] == [shown["linux/amd64"].id]
    assert len(use.list_images(host, {}, all_images=True)) == 3
    use.prune(host, {})  # the others are not dangling
    assert len(host.images.all()) == 3
    assert await check_images(host, repair=True, stray_age=0) == []
    use.remove(host, name)
    assert not host.images.all()
    assert not list(host.store.walk())
    assert not host.snapshots.layers


async def test_attestations_go_with_their_index_and_are_never_an_image(tmp_path: Path) -> None:
    one = ServerConfig(f"{tmp_path}/one", host="127.0.0.1", port=0)
    two = ServerConfig(f"{tmp_path}/two", host="127.0.0.1", port=0)
    async with serving(one) as (_, first), serving(two) as (_, second):
        name, target = f"127.0.0.1:{first}/multi:all", f"127.0.0.1:{second}/to"
        digest = await publish(Host(tmp_path / "maker"), f"127.0.0.1:{first}", attested=True)
        host = Host(tmp_path / "host")
        for text in reversed(PLATFORMS):
            await pull(host, PullRequest(reference.parse(name), platform=platform(text)), lambda _: None)
        with pytest.raises(NotFound, match="no matching manifest for unknown/unknown"):
            await pull(host, PullRequest(reference.parse(name), platform=platform("unknown/unknown")), lambda _: None)
        image = host.images.get(name)
        kinds = [(row.kind, row.available, row.content > 0) for row in variants.listed(host.images, image)]
        assert kinds == [("image", True, True)] * 3 + [("attestation", True, True)] * 3
        assert [row.attests for row in variants.listed(host.images, image)][3:] == [
            use.inspect(host, name, platform(text)).manifest for text in PLATFORMS
        ]
        assert await check_images(host, repair=True, stray_age=0) == []
        with tempfile.TemporaryDirectory(dir=tmp_path) as scratch:
            assert await copy(name, f"{target}:copied", scratch, FAST, lambda _: ANONYMOUS) == digest
        loaded = Host(tmp_path / "loaded")
        archive = b"".join([chunk async for chunk in use.save(host, use.select(host, [name]))])
        said: list[Progress] = []
        await use.load(loaded, body(archive), said.append)
        assert [line.stream for line in said if line.stream] == [f"Loaded image: {name}\n"]
        assert loaded.images.get(name).id == image.id
        for number, origin in enumerate((host, loaded)):
            use.tag(origin, name, target, str(number))
            await push(origin, PushRequest(reference.parse(f"{target}:{number}")), lambda _: None)
            found = await inspect_distribution(host, reference.parse(f"{target}:{number}"), ANONYMOUS)
            assert found.descriptor.digest == digest
            for kept in (name, f"{target}:{number}"):
                use.remove(origin, kept)
            assert not list(origin.store.walk())


async def test_an_index_is_pushed_whole_from_the_store(store: tuple[Host, str, str], tmp_path: Path) -> None:
    host, name, digest = store
    config = ServerConfig(f"{tmp_path}/target", host="127.0.0.1", port=0)
    async with serving(config) as (_, port):
        target = f"127.0.0.1:{port}/here"
        use.tag(host, name, target, "1")
        lines: list[Progress] = []
        await push(host, PushRequest(reference.parse(f"{target}:1")), lines.append)
        assert lines[-1].aux is not None and lines[-1].aux["Digest"] == digest
        found = await inspect_distribution(host, reference.parse(f"{target}:1"), ANONYMOUS)
        assert (found.descriptor.digest, len(found.platforms)) == (digest, 3)
        arm = use.inspect(host, name, platform("linux/arm64"))
        await push(host, PushRequest(reference.parse(f"{target}:1"), platform=platform("linux/arm64")), lines.append)
        assert lines[-1].aux == {"Tag": "1", "Digest": arm.manifest, "Size": host.store.size(arm.manifest)}
        # Without all of it the one image goes, and the client is told.
        partial = Host(tmp_path / "partial")
        await pull(partial, PullRequest(reference.parse(name)), lambda _: None)
        use.tag(partial, name, target, "2")
        await push(partial, PushRequest(reference.parse(f"{target}:2")), lines.append)
        assert lines[-1].aux is not None and lines[-1].aux["manifestPushedInsteadOfIndex"] is True


async def test_a_name_means_what_it_came_through(store: tuple[Host, str, str]) -> None:
    """The same image alone under one name, as a part of an index under another."""
    host, name, digest = store
    target = name.rpartition(":")[0].replace("multi", "other")
    image = host.images.get(name)
    for source, tag, sent in (
        (image.id, "alone", image.manifest),
        (name, "whole", digest),
        (f"{target}:whole", "again", digest),
        (f"{target}:alone", "still", image.manifest),
        (f"{name.rpartition(':')[0]}@{digest}", "digest", digest),
    ):
        use.tag(host, source, target, tag)
        lines: list[Progress] = []
        await push(host, PushRequest(reference.parse(f"{target}:{tag}")), lines.append)
        assert lines[-1].aux is not None and lines[-1].aux["Digest"] == sent, tag
    await pull(host, PullRequest(reference.parse(f"{target}:alone")), lines.append)
    use.tag(host, f"{target}:alone", name)  # the name is given to the image alone
    assert variants.named_index(host.images, name) is None
    await pull(host, PullRequest(reference.parse(name)), lines.append)  # "up to date", and whole again
    kept = variants.named_index(host.images, name)
    assert kept is not None and kept.digest == digest


async def test_several_platforms_travel_in_an_archive(store: tuple[Host, str, str], tmp_path: Path) -> None:
    host, name, digest = store
    wanted = [platform(text) for text in PLATFORMS]
    archive = b"".join([chunk async for chunk in use.save(host, use.select(host, [name], wanted))])
    other = Host(tmp_path / "other")
    await use.load(other, body(archive), lambda _: None, wanted)
    assert use.inspect(other, name).id == use.inspect(host, name).id  # the first platform has the name
    for entry in wanted:
        assert use.inspect(other, name, entry).manifest == use.inspect(host, name, entry).manifest
    kept = variants.index_of(other.images, use.inspect(other, name))
    assert kept is not None and (kept.digest, kept.whole) == (digest, True)
    plain = Host(tmp_path / "plain")
    await use.load(plain, body(archive), lambda _: None)
    assert use.inspect(plain, name).id == use.inspect(host, name).id
    one = b"".join([chunk async for chunk in use.save(host, use.select(host, [name], wanted[1:2]))])
    (image,) = await use.load(Host(tmp_path / "one"), body(one), lambda _: None, wanted[1:2])
    assert image.id == use.inspect(host, name, wanted[1]).id


async def test_archives_are_ends_of_a_copy_too(tmp_path: Path) -> None:
    one = ServerConfig(f"{tmp_path}/one", host="127.0.0.1", port=0)
    async with serving(one) as (_, port):
        address = f"127.0.0.1:{port}"
        maker = Host(tmp_path / "maker")
        digest = await publish(maker, address)

        async def go(origin: str, goal: str) -> str:
            with tempfile.TemporaryDirectory(dir=tmp_path) as scratch:
                return await copy(origin, goal, scratch, FAST, lambda _: ANONYMOUS)

        whole, docker = f"oci-archive:{tmp_path}/whole.tar:v1", f"docker-archive:{tmp_path}/docker.tar:team/x:1"
        assert await go(f"{address}/multi:all", whole) == digest
        assert await go(whole, f"oci:{tmp_path}/layout:v1") == digest
        assert await go(f"oci:{tmp_path}/layout:v1", f"oci-archive:{tmp_path}/again.tar:v1") == digest
        assert await go(f"oci-archive:{tmp_path}/again.tar:v1", f"{address}/back:all") == digest
        single = await go(f"{address}/multi:linux-amd64", docker)
        assert await go(f"docker-archive:{tmp_path}/docker.tar", f"{address}/single:1") == single
        loaded = Host(tmp_path / "loaded")
        (image,) = await use.load(loaded, body((tmp_path / "docker.tar").read_bytes()), lambda _: None)
        assert loaded.images.get("team/x:1").id == image.id
        with pytest.raises(NotFound, match="0 images named other"):
            await go(f"docker-archive:{tmp_path}/docker.tar:other", f"{address}/single:2")
        if shutil.which("skopeo"):
            command = ["skopeo", "inspect", "--raw", f"oci-archive:{tmp_path}/again.tar:v1"]
            process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            out, _ = await process.communicate()
            assert digests.of_bytes(out) == digest
