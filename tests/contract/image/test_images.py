"""Images from import to removal, over a real database and store."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sampan.build.cache import BuildCache
from sampan.build.result import Result
from sampan.engine import images as use
from sampan.engine.imagecheck import check_images
from sampan.errors import Conflict, DataLoss, InvalidArgument, NotFound
from sampan.image.archive import Archive
from sampan.image.importing import ImportOptions
from sampan.image.record import Image, ImageUser
from sampan.model.progress import Progress
from sampan.oci import digest as digests
from sampan.oci import reference
from sampan.oci.config import ExecutionConfig
from sampan.oci.platform import parse as platform

from ...support.imagehost import Host, body, layer_tar

TAR = layer_tar({"etc/passwd": b"root", "bin/sh": os.urandom(200_000)})
LINUX = platform("linux/amd64")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


async def imported(host: Host, name: str = "", data: bytes = TAR, *changes: str) -> Image:
    target = reference.parse(name) if name else None
    image = await use.import_image(host, body(data), ImportOptions(LINUX, changes=list(changes)), target)
    return host.images.get(image.id)


async def loaded(host: Host, data: bytes) -> list[str]:
    lines: list[Progress] = []
    await use.load(host, body(data), lines.append)
    return [line.stream.strip() for line in lines if line.stream]


async def saved(host: Host, *refs: str) -> bytes:
    return b"".join([chunk async for chunk in use.save(host, use.select(host, refs))])


async def test_import_makes_an_image_of_one_layer(host: Host) -> None:
    image = await imported(host, "busybox", TAR, 'CMD ["sh"]', "ENV A=b C='d e'", "LABEL x=y", "EXPOSE 80 53/udp")
    assert image.repo_tags == ["busybox:latest"]
    assert image.size == 200_004
    execution = image.config.config
    assert isinstance(execution, ExecutionConfig)
    assert (execution.cmd, execution.env) == (["sh"], ["A=b", "C=d e"])
    assert execution.exposed_ports == {"80/tcp": {}, "53/udp": {}}
    assert image.layers[0].diff_id == digests.of_bytes(TAR)
    assert host.store.read(image.id, 1 << 20)
    assert [event[0] for event in host.events] == ["tag", "import"]
    line = use.history(host, "busybox")[0]
    assert (line.id, line.comment, line.tags) == (image.id, "Imported from -", ["busybox:latest"])


@pytest.mark.parametrize("change", ["RUN x", "FROM y", "EXPOSE 99999", "HEALTHCHECK sh", "ONBUILD FROM x", "ENV"])
async def test_a_bad_change_is_refused_before_anything_is_stored(host: Host, change: str) -> None:
    with pytest.raises(InvalidArgument):
        await imported(host, "x", TAR, change)
    assert not list(host.store.walk())


async def test_an_import_that_breaks_off_leaves_nothing(host: Host) -> None:
    with pytest.raises(DataLoss):
        await imported(host, "x", gzip.compress(TAR)[:-100])

    async def stuck() -> object:
        yield TAR[:1000]
        await asyncio.Event().wait()

    task = asyncio.create_task(use.import_image(host, stuck(), ImportOptions(LINUX), None))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not list(host.store.walk())
    assert not os.listdir(host.paths.tmp)


async def test_images_are_found_by_name_digest_and_prefix(host: Host) -> None:
    image = await imported(host, "localhost:5000/a/b:v1")
    host.images.add_digest(image.id, image.tags[0], image.manifest)
    prefix = digests.encoded(image.id)[:6]
    for ref in ("localhost:5000/a/b:v1", image.id, prefix, f"sha256:{prefix}", f"localhost:5000/a/b@{image.manifest}"):
        assert host.images.get(ref).id == image.id
    for ref, shown in (("nothere", "nothere:latest"), ("abcdef", "abcdef:latest"), (digests.of_bytes(b""),) * 2):
        with pytest.raises(NotFound) as caught:
            host.images.get(ref)
        assert str(caught.value) == f"No such image: {shown}"


async def test_removal_follows_dockers_rules(host: Host) -> None:
    image = await imported(host, "busybox")
    use.tag(host, "busybox", "other", "v1")
    short = digests.short(image.id)
    with pytest.raises(Conflict) as caught:
        use.remove(host, short)
    assert str(caught.value) == (
        f"conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories"
    )
    assert [record.ref for record in use.remove(host, "other:v1").records] == ["other:v1"]
    host.users = [ImageUser("c" * 64, image.id, running=False)]
    with pytest.raises(Conflict) as caught:
        use.remove(host, "busybox")
    assert str(caught.value) == (
        f'conflict: unable to remove repository reference "busybox" (must force) - container {"c" * 12} '
        f"is using its referenced image {short}"
    )
    host.users = [ImageUser("c" * 64, image.id, running=True)]
    with pytest.raises(Conflict, match=r"cannot be forced.*running container cccccccccccc"):
        use.remove(host, short, force=True)
    host.users = []
    host.images.add_digest(image.id, image.tags[0], image.manifest)
    records = use.remove(host, "busybox").records
    assert [(record.kind, record.ref) for record in records] == [
        ("untagged", "busybox:latest"),
        ("untagged", f"busybox@{image.manifest}"),
        ("deleted", image.id),
        ("deleted", image.layers[0].chain_id),
    ]
    assert not list(host.store.walk())
    assert not host.snapshots.layers


async def test_a_layer_stays_while_a_container_stands_on_it(host: Host) -> None:
    image = await imported(host, "busybox")
    host.users = [ImageUser("c" * 64, image.id, running=False)]
    host.snapshots.in_use = {image.chain_id}
    records = use.remove(host, "busybox", force=True).records
    assert [record.ref for record in records] == ["busybox:latest", image.id]
    assert host.snapshots.size(image.chain_id) == image.size


class Cached:
    """The build cache over a host's images, and what `builder prune` does with one record."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.cache = BuildCache(host.db, lambda layer: host.store.exists(layer.descriptor.digest))

    def keep(self, key: str, image: Image) -> None:
        self.cache.put(key, "0:1:Exec", "RUN true", {}, Result(image.layers))

    def prune(self, key: str) -> int:
        (layers,) = [record.layers for record in self.cache.records() if record.key == key]
        self.cache.drop(key)
        return sum(layer.size for layer in self.host.images.release(layers))


async def test_what_the_build_cache_holds_outlives_images_and_goes_with_its_record(host: Host) -> None:
    image, cached = await imported(host, "base"), Cached(host)
    cached.keep("one", image)
    cached.keep("two", image)
    layer = image.layers[0]
    removal = use.remove(host, "base")
    assert removal.freed == 0
    assert [record.ref for record in removal.records if record.kind == "deleted"] == [image.id]
    await imported(host, "other")  # of the same layer
    use.prune(host, {"dangling": ["false"]})
    assert await check_images(host, repair=True, stray_age=0) == []
    assert [digest for digest, _ in host.store.walk()] == [layer.descriptor.digest]
    assert cached.cache.get("one") is not None
    assert cached.prune("one") == 0  # the other record still stands on it
    assert host.snapshots.size(layer.chain_id) == layer.size
    assert cached.prune("two") == layer.size
    assert not list(host.store.walk())
    assert not host.snapshots.layers


async def test_a_record_that_goes_first_leaves_the_layers_to_the_image(host: Host) -> None:
    image, cached = await imported(host, "base"), Cached(host)
    cached.keep("one", image)
    assert cached.prune("one") == 0
    assert use.remove(host, "base").freed == image.size
    assert not host.snapshots.layers


async def test_work_under_way_keeps_the_layers_it_found(host: Host) -> None:
    image = await imported(host, "base")
    layer = image.layers[0]
    with host.images.hold([layer.chain_id, layer.descriptor.digest]):
        assert use.remove(host, "base").freed == 0
        assert await check_images(host, repair=True, stray_age=0) == []
        assert host.store.exists(layer.descriptor.digest)
    found = await check_images(host, repair=True, stray_age=0)
    assert sorted((problem.key, problem.repaired) for problem in found) == sorted(
        [(layer.chain_id, True), (layer.descriptor.digest, True)]
    )
    assert not list(host.store.walk())
    assert not host.snapshots.layers


async def test_a_check_reads_the_store_beside_the_loop(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    image = await imported(host, "base")
    old = [f"sha256:{number:064x}" for number in range(40)]
    for digest in old:
        Path(host.store.partial_path(digest)).write_bytes(b"half")
        os.utime(host.store.partial_path(digest), (0, 0))
    strays = [host.store.add(b"stray %d" % number) for number in range(40)]
    threads: list[int] = []

    def noted(method: Callable[[], Any]) -> Callable[[], Any]:
        def call() -> Any:
            threads.append(threading.get_ident())
            return method()

        return call

    for name in ("walk", "list_partial"):
        monkeypatch.setattr(host.store, name, noted(getattr(host.store, name)))
    found = await check_images(host, repair=True, stray_age=-1)
    assert sorted(one.key for one in found) == sorted(old + strays) and all(one.repaired for one in found)
    assert threading.get_ident() not in threads and len(threads) <= 4
    assert host.store.exists(image.layers[0].descriptor.digest)


async def test_filters(host: Host) -> None:
    first = await imported(host, "one:a", TAR, "LABEL k=v")
    second = await imported(host, "", layer_tar({"x": b"y"}))
    third = await imported(host, "reg.io/two/three:b", layer_tar({"x": b"z"}))

    def ids(all_images: bool = False, **filters: str) -> list[str]:
        asked = {key: [value] for key, value in filters.items()}
        return [image.id for image in use.list_images(host, asked, all_images=all_images)]

    assert ids() == [third.id, second.id, first.id]
    assert ids(dangling="true") == [second.id]
    assert ids(dangling="false") == [third.id, first.id]
    assert ids(label="k") == ids(label="k=v") == [first.id]
    assert ids(label="k=w") == []
    assert ids(before=third.id) == [second.id, first.id]
    assert ids(since="one:a") == [third.id, second.id]
    assert ids(reference="one") == ids(reference="o*:a") == [first.id]
    assert ids(reference="*") == [first.id]
    assert ids(reference="reg.io/*/*") == [third.id]
    assert ids(until="24h") == []
    with pytest.raises(InvalidArgument, match="invalid filter 'nope'"):
        ids(nope="x")


async def test_prune(host: Host) -> None:
    dangling = await imported(host)
    tagged = await imported(host, "keep", layer_tar({"x": b"12345"}))
    removal = use.prune(host, {})
    assert [record.ref for record in removal.records] == [dangling.id, dangling.chain_id]
    assert removal.freed == dangling.size
    host.users = [ImageUser("c" * 64, tagged.id, running=False)]
    assert not use.prune(host, {"dangling": ["false"]}).records
    host.users = []
    assert not use.prune(host, {"dangling": ["false"], "until": ["1h"]}).records
    assert use.prune(host, {"dangling": ["false"]}).records[0].ref == "keep:latest"


async def test_prune_by_last_use(host: Host) -> None:
    """Ours: what no container was made from for so long, however young its content is."""
    for name, age in (("stale", 7200), ("fresh", 60), ("used", 7200)):
        image = await imported(host, name, layer_tar({name: b"x"}))
        host.db.execute("UPDATE image SET used_at = ? WHERE id = ?", (time.time() - age, image.id))
    host.images.touch(host.images.get("used").id)  # as `create` does
    removal = use.prune(host, {"dangling": ["false"], "unused-since": ["1h"]})
    assert [record.ref for record in removal.records if record.kind == "untagged"] == ["stale:latest"]
    assert sorted(name for image in host.images.all() for name in image.repo_tags) == ["fresh:latest", "used:latest"]
    with pytest.raises(InvalidArgument):
        use.prune(host, {"unused-since": ["soon"]})


async def test_save_and_load_keep_every_digest(host: Host, tmp_path: Path) -> None:
    image = await imported(host, "busybox")
    use.tag(host, "busybox", "busybox", "two")
    other = await imported(host, "other", layer_tar({"a": b"b"}))
    data = await saved(host, "busybox", "other")
    names = tarfile.open(fileobj=io.BytesIO(data)).getnames()
    assert {"index.json", "manifest.json", "oci-layout", "repositories"} < set(names)
    target = Host(tmp_path / "second")
    lines = await loaded(target, data)
    assert sorted(lines) == ["Loaded image: busybox:latest", "Loaded image: busybox:two", "Loaded image: other:latest"]
    for original in (image, other):
        assert target.images.by_id(original.id).manifest == original.manifest
    assert await saved(target, "busybox", "other") == data
    assert await loaded(target, gzip.compress(data)) == lines
    assert await loaded(target, await saved(host, image.id)) == [f"Loaded image ID: {image.id}"]


def docker_archive(config: bytes, layers: dict[str, bytes], tags: list[str], links: dict[str, str]) -> bytes:
    item = {"Config": "c.json", "RepoTags": tags, "Layers": [*layers, *links]}
    files = {**layers, "c.json": config, "manifest.json": json.dumps([item]).encode()}
    buffer = io.BytesIO(layer_tar(files))
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return buffer.getvalue()


def config_of(*layers: bytes) -> bytes:
    diff_ids = [digests.of_bytes(layer) for layer in layers]
    document = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    return json.dumps(document).encode()


async def test_older_archives_with_links_between_layers_load(host: Host) -> None:
    archive = docker_archive(config_of(TAR, TAR), {"x/layer.tar": TAR}, ["old:1"], {"y/layer.tar": "../x/layer.tar"})
    assert await loaded(host, archive) == ["Loaded image: old:1"]
    assert len(host.images.get("old:1").layers) == 2


async def test_a_layer_that_is_here_may_be_missing_in_an_archive(host: Host) -> None:
    """docker-squash leaves out what it did not squash."""
    above = layer_tar({"b": b"b"})
    await loaded(host, docker_archive(config_of(TAR, above), {"x": TAR, "y": above}, ["whole:1"], {}))
    lacking = docker_archive(config_of(TAR, above), {"x": TAR}, ["lacking:1"], {"y": "nowhere"})
    assert await loaded(host, lacking) == ["Loaded image: lacking:1"]


def test_layers_of_a_disposable_archive_take_no_room_once_they_are_read(tmp_path: Path) -> None:
    layer = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(docker_archive(config_of(layer, layer), {"x": layer}, ["a:1"], {"y": "x"}))
    with open(tmp_path / "a", "r+b", buffering=0) as file:
        archive = Archive(file, disposable=True)
        (image,) = archive.images()
        before = os.fstat(file.fileno()).st_blocks
        for name, shrinks in zip(image.layers, (False, True), strict=True):
            reader = archive.open_layer(name)
            assert b"".join(iter(reader.read, b"")) == layer
            assert (os.fstat(file.fileno()).st_blocks <= before - (len(layer) - 8192) // 512) == shrinks
        assert archive.images() == [image]


async def test_hostile_archives_leave_nothing(host: Host) -> None:
    wrong = docker_archive(config_of(b"other"), {"l": TAR}, ["x"], {})
    missing = docker_archive(config_of(TAR), {}, ["x"], {"l": "../../../../etc/passwd"})
    lengths = docker_archive(config_of(TAR, TAR), {"l": TAR}, ["x"], {})
    loop = docker_archive(config_of(TAR), {}, ["x"], {"l": "l"})
    for archive, error in (
        (wrong, DataLoss), (missing, InvalidArgument), (lengths, DataLoss), (loop, InvalidArgument),
        (b"no tar at all" * 100, InvalidArgument), (layer_tar({"a": b""}), InvalidArgument),
    ):  # fmt: skip
        with pytest.raises(error):
            await loaded(host, archive)
        assert not host.images.all()
        assert not list(host.store.walk())
        assert not host.snapshots.layers
