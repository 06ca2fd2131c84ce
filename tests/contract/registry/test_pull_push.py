"""Pull and push against Debian's docker-registry, through a proxy that counts bytes and breaks things."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from sampan.engine import images as use
from sampan.engine.pull import PullRequest, pull
from sampan.engine.push import PushRequest, push, reference_of
from sampan.errors import NotFound, SampanError
from sampan.image.importing import ImportOptions
from sampan.image.record import Image
from sampan.model.progress import Progress
from sampan.oci import reference
from sampan.oci.platform import parse as platform
from sampan.oci.shortnames import ShortNames
from sampan.registry.config import ANONYMOUS, AuthConfig
from sampan.registry.failures import Unreachable

from ...support.imagehost import FAST, Host, body, layer_tar
from ...support.registries import Cut, FaultyProxy, docker_registry, faulty_proxy, needs_docker_registry

pytestmark = needs_docker_registry
CONTENT = os.urandom(3 << 20)


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[tuple[FaultyProxy, str]]:
    async with docker_registry(tmp_path / "registry") as upstream, faulty_proxy(upstream) as proxy:
        yield proxy


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "host")


async def make(host: Host, name: str, content: bytes = CONTENT, arch: str = "linux/amd64") -> Image:
    tar = layer_tar({"content": content})
    return await use.import_image(host, body(tar), ImportOptions(platform(arch)), reference.parse(name))


async def pulled(host: Host, name: str, **more: object) -> tuple[Image, list[Progress]]:
    lines: list[Progress] = []
    request = PullRequest(reference.parse(name), **more)  # type: ignore[arg-type]
    images = await pull(host, request, lines.append)
    return images[0], lines


async def pushed(host: Host, name: str) -> list[Progress]:
    lines: list[Progress] = []
    await push(host, PushRequest(reference.parse(name)), lines.append)
    return lines


async def test_a_round_trip_keeps_every_digest(host: Host, registry: tuple[FaultyProxy, str], tmp_path: Path) -> None:
    _, address = registry
    image = await make(host, f"{address}/library/thing:1")
    lines = await pushed(host, f"{address}/library/thing:1")
    size = host.store.size(image.manifest)
    assert [line.status for line in lines[:2]] == [
        f"The push refers to repository [{address}/library/thing]",
        "Preparing",
    ]
    assert lines[-2].status == f"1: digest: {image.manifest} size: {size}"
    assert lines[-1].aux == {"Tag": "1", "Digest": image.manifest, "Size": size}
    other = Host(tmp_path / "other")
    got, lines = await pulled(other, f"{address}/library/thing:1")
    assert (got.id, got.manifest) == (image.id, image.manifest)
    assert got.repo_digests == [f"{address}/library/thing@{image.manifest}"]
    short = image.layers[0].descriptor.digest[7:19]
    of_layer = [line.status for line in lines if line.id == short]
    assert of_layer[0] == "Pulling fs layer"
    milestones = [
        status for status in of_layer if status in {"Verifying Checksum", "Download complete", "Pull complete"}
    ]
    assert milestones == ["Verifying Checksum", "Download complete", "Pull complete"]
    assert [line.status for line in lines if not line.id] == [
        f"Digest: {image.manifest}", f"Status: Downloaded newer image for {address}/library/thing:1"
    ]  # fmt: skip
    _, lines = await pulled(other, f"{address}/library/thing:1")
    assert lines[-1].status == f"Status: Image is up to date for {address}/library/thing:1"
    by_digest, _ = await pulled(other, f"{address}/library/thing@{image.manifest}")
    assert by_digest.id == image.id
    assert [event[0] for event in other.events] == ["pull", "pull", "pull"]
    use.remove(other, f"{address}/library/thing:1")
    assert [event[0] for event in other.events[3:]] == ["untag", "delete"]


async def test_a_second_push_sends_nothing_and_another_repository_mounts(
    host: Host, registry: tuple[FaultyProxy, str]
) -> None:
    proxy, address = registry
    image = await make(host, f"{address}/a:1")
    await pushed(host, f"{address}/a:1")
    assert "Layer already exists" in [line.status for line in await pushed(host, f"{address}/a:1")]
    use.tag(host, image.id, f"{address}/b", "1")
    assert "Mounted from a" in [line.status for line in await pushed(host, f"{address}/b:1")]
    assert sum(request.startswith("PATCH") for request in proxy.requests) == 2  # layer and configuration of a


async def test_what_is_missing_is_said_in_dockers_words(host: Host, registry: tuple[FaultyProxy, str]) -> None:
    proxy, address = registry
    with pytest.raises(NotFound, match=f"^manifest for {address}/x:latest not found: manifest unknown: manifest unk"):
        await pulled(host, f"{address}/x")
    with pytest.raises(NotFound, match=f"^An image does not exist locally with the tag: {address}/x$"):
        await pushed(host, f"{address}/x:1")
    proxy.answers.append(("GET .*manifests", 403, {}))
    with pytest.raises(
        NotFound, match=r"pull access denied for .*, repository does not exist or may require 'docker l"
    ):
        await pulled(host, f"{address}/x")
    with pytest.raises(Unreachable, match="connection refused"):
        await pulled(host, "127.0.0.1:1/x")


async def test_an_interrupted_download_goes_on_at_the_byte_where_it_stood(
    host: Host, registry: tuple[FaultyProxy, str], tmp_path: Path
) -> None:
    proxy, address = registry
    image = await make(host, f"{address}/a:1")
    await pushed(host, f"{address}/a:1")
    size = image.layers[0].descriptor.size
    proxy.sent.clear()
    proxy.cuts = [Cut(f"GET .*{image.layers[0].descriptor.digest}", after=1 << 20, times=2)]
    other = Host(tmp_path / "other")
    await pulled(other, f"{address}/a:1")
    assert proxy.sent[f"/v2/a/blobs/{image.layers[0].descriptor.digest}"] == size


async def test_a_cancelled_pull_is_resumed_by_the_next(
    host: Host, registry: tuple[FaultyProxy, str], tmp_path: Path
) -> None:
    proxy, address = registry
    image = await make(host, f"{address}/a:1")
    await pushed(host, f"{address}/a:1")
    layer = image.layers[0].descriptor
    proxy.sent.clear()
    resume = asyncio.Event()
    proxy.cuts = [Cut(f"GET .*{layer.digest}", after=2 << 20, resume=resume)]
    other = Host(tmp_path / "other", replace(FAST, stall_timeout=60))
    task = asyncio.create_task(pulled(other, f"{address}/a:1"))
    await proxy.first_bytes.wait()
    while not other.store.list_partial() or other.store.list_partial()[0][1] < 1 << 20:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    resume.set()
    assert not other.snapshots.layers
    (partial,) = other.store.list_partial()
    before = proxy.sent[f"/v2/a/blobs/{layer.digest}"]
    await pulled(other, f"{address}/a:1")
    assert proxy.sent[f"/v2/a/blobs/{layer.digest}"] - before == layer.size - partial[1]


async def test_stalls_errors_and_registries_without_ranges_are_survived(
    host: Host, registry: tuple[FaultyProxy, str], tmp_path: Path
) -> None:
    proxy, address = registry
    image = await make(host, f"{address}/a:1")
    await pushed(host, f"{address}/a:1")
    layer = image.layers[0].descriptor.digest
    resume = asyncio.Event()
    proxy.ranges = False
    proxy.cuts = [Cut(f"GET .*{layer}", after=1 << 20, resume=resume)]
    proxy.answers = [("GET .*manifests", 503, {}), ("GET .*manifests", 429, {"Retry-After": "0"}),
                     (f"GET .*{layer}", 500, {}), ("GET /v2/$", 502, {})]  # fmt: skip
    other = Host(tmp_path / "other", replace(FAST, stall_timeout=1))
    got, _ = await pulled(other, f"{address}/a:1")
    resume.set()
    assert got.id == image.id
    proxy.answers = [("GET .*manifests", 500, {})] * 5
    with pytest.raises(Exception, match="unexpected status code 500"):
        await pulled(other, f"{address}/a:1")


async def test_wrong_bytes_leave_nothing_behind(host: Host, registry: tuple[FaultyProxy, str], tmp_path: Path) -> None:
    proxy, address = registry
    image = await make(host, f"{address}/a:1")
    await pushed(host, f"{address}/a:1")
    layer = image.layers[0].descriptor.digest
    for digest in (layer, image.id, image.manifest):
        proxy.corrupt = digest if digest != image.manifest else "/manifests/"
        other = Host(tmp_path / digest[7:20])
        with pytest.raises(SampanError, match=r"verification failed|damaged|invalid"):
            await pulled(other, f"{address}/a:1")
        assert not other.images.all()
        assert not other.store.list_partial()
        assert not other.snapshots.layers
        assert layer not in dict(other.store.walk())


async def test_concurrent_pulls_share_a_layer(host: Host, registry: tuple[FaultyProxy, str], tmp_path: Path) -> None:
    proxy, address = registry
    names = [f"{address}/r{number}:1" for number in range(8)]
    image = await make(host, names[0])
    for name in names:
        use.tag(host, image.id, name)
        await pushed(host, name)
    proxy.sent.clear()
    other = Host(tmp_path / "other")
    results = await asyncio.gather(*(pulled(other, name) for name in names))
    assert {got.id for got, _ in results} == {image.id}
    size = sum(count for path, count in proxy.sent.items() if image.layers[0].descriptor.digest in path)
    assert size == image.layers[0].descriptor.size


async def test_all_tags(host: Host, registry: tuple[FaultyProxy, str], tmp_path: Path) -> None:
    _, address = registry
    for tag in ("one", "two", "three"):
        await make(host, f"{address}/many:{tag}", tag.encode())
    lines = await pushed(host, f"{address}/many")
    assert sum(line.aux is not None for line in lines) == 3
    other = Host(tmp_path / "other")
    await pull(other, PullRequest(reference.parse(f"{address}/many"), all_tags=True), lines.append)
    assert sorted(tag for image in other.images.all() for tag in image.repo_tags) == [
        f"{address}/many:{tag}" for tag in ("one", "three", "two")
    ]


async def test_short_names_are_asked_for_in_every_registry_in_turn(
    host: Host, registry: tuple[FaultyProxy, str], tmp_path: Path
) -> None:
    _, address = registry
    image = await make(host, f"{address}/team/thing:1")
    await pushed(host, f"{address}/team/thing:1")
    async with docker_registry(tmp_path / "first") as first:
        other = Host(tmp_path / "other")
        lines: list[Progress] = []
        other.images.short_names = ShortNames.of(first, [address])
        refs = other.images.short_names.candidates("team/thing", "1")
        auths: list[str] = []

        async def auth_for(domain: str) -> AuthConfig:
            auths.append(domain)
            return ANONYMOUS

        request = PullRequest(refs[0], others=refs[1:], auth_for=auth_for)
        (got,) = await pull(other, request, lines.append)
        said = [line.status for line in lines if not line.id]
        assert said[0] == f"Trying to pull {first}/team/thing:1..."
        assert said[1].startswith(f"{first}: ")
        assert "not found" in said[1]
        assert said[2] == f"Trying to pull {address}/team/thing:1..."
        assert auths == [first, address]
        assert got.repo_tags == [f"{address}/team/thing:1"]
        assert other.images.get("team/thing:1").id == image.id
        assert reference_of(other.images, "team/thing", "1").domain == address
        assert reference_of(other.images, "team/thing", "").domain == address
        with pytest.raises(NotFound, match=f"nosuch is in none of the registries: {first}: .*; {address}: "):
            missing = other.images.short_names.candidates("nosuch")
            await pull(other, PullRequest(missing[0], others=missing[1:]), lines.append)
        assert use.remove(other, "team/thing:1").records[0].ref == f"{address}/team/thing:1"


async def test_a_registry_out_of_reach_does_not_hand_its_names_to_the_next(
    host: Host, registry: tuple[FaultyProxy, str]
) -> None:
    _, address = registry
    await make(host, f"{address}/thing:1")
    await pushed(host, f"{address}/thing:1")
    names = ShortNames.of("127.0.0.1:1", [address]).candidates("thing", "1")
    with pytest.raises(Unreachable, match=r"^127\.0\.0\.1:1: .*connection refused"):
        await pull(host, PullRequest(names[0], others=names[1:]), lambda _: None)


def test_which_names_are_short() -> None:
    digest = "sha256:" + "a" * 64
    names = ShortNames.of("reg.example:5000", ["docker.io"])
    assert [str(name) for name in names.candidates("busybox", "1")] == [
        "reg.example:5000/busybox:1",
        "docker.io/library/busybox:1",
    ]
    assert names.candidates("docker.io/library/busybox", "1") == names.candidates("busybox", "1")
    assert [str(name) for name in names.candidates("docker.io/busybox")] == ["docker.io/library/busybox"]
    assert [str(name) for name in names.candidates("index.docker.io/a/b")] == ["docker.io/a/b"]
    assert [str(name) for name in names.candidates("localhost/a", digest)] == [f"localhost/a@{digest}"]
    assert [name.familiar for name in ShortNames().candidates("busybox", digest)] == [f"busybox@{digest}"]
