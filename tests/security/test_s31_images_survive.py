"""S31 and S32 for images: killed or out of space at any step of a pull, the store opens and the retry resumes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sampan import faults
from sampan.engine import images as use
from sampan.engine.imagecheck import check_images
from sampan.engine.pull import PullRequest, pull
from sampan.engine.push import PushRequest, push
from sampan.image.importing import ImportOptions
from sampan.oci import reference
from sampan.oci.platform import parse as platform
from sampan.registry.server.config import ServerConfig
from sampan.registry.server.run import serving as serving_registry

from ..support.imagehost import Host, body, layer_tar
from ..support.registries import FaultyProxy, faulty_proxy

ROOT = Path(__file__).parents[2]
POINTS = (
    "cas.write@2",
    "cas.commit@1",
    "cas.commit@2",
    "cas.renamed@1",
    "pull.configured",
    "pull.unpacked",
    "pull.added",
)
PULL = """
import asyncio, sys
from pathlib import Path
from sampan import faults
from sampan.engine.pull import PullRequest, pull
from sampan.oci import reference
from tests.support.imagehost import Host
faults.arm(sys.argv[3])
asyncio.run(pull(Host(Path(sys.argv[1])), PullRequest(reference.parse(sys.argv[2])), lambda line: None))
"""


@pytest.fixture
async def published(tmp_path: Path) -> AsyncIterator[tuple[FaultyProxy, str, int]]:
    config = ServerConfig(f"{tmp_path}/registry", host="127.0.0.1", port=0)
    async with serving_registry(config) as (_, port), faulty_proxy(f"127.0.0.1:{port}") as (proxy, address):
        maker = Host(tmp_path / "maker")
        content = layer_tar({"x": os.urandom(3 << 20)})
        name = reference.parse(f"{address}/x:1")
        image = await use.import_image(maker, body(content), ImportOptions(platform("linux/amd64")), name)
        await push(maker, PushRequest(name), lambda _: None)
        proxy.sent.clear()
        yield proxy, f"{address}/x:1", image.layers[0].descriptor.size


async def retried(host: Host, name: str) -> None:
    (image,) = await pull(host, PullRequest(reference.parse(name)), lambda _: None)
    assert host.images.get(name).id == image.id
    assert not host.store.list_partial()
    assert not [problem for problem in await check_images(host, stray_age=-1) if problem.what != "missing"]


@pytest.mark.parametrize("point", POINTS)
async def test_s31_killed_in_mid_pull(published: tuple[FaultyProxy, str, int], tmp_path: Path, point: str) -> None:
    proxy, name, size = published
    name_of_point, _, count = point.partition("@")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PULL, str(tmp_path / "host"), name, f"{name_of_point}=kill@{count or 1}",
        cwd=ROOT, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, errors = await process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()
    before = proxy.blob_bytes()
    host = Host(tmp_path / "host")
    kept = sum(partial for _, partial in host.store.list_partial()) + sum(found for _, found in host.store.walk())
    await retried(host, name)
    assert proxy.blob_bytes() - before <= max(0, size - kept) + 1000  # the configuration may come again


@pytest.mark.parametrize("code", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("point", ["cas.write@2", "cas.commit", "pull.unpacked"])
async def test_s31_a_full_or_failing_disk(
    published: tuple[FaultyProxy, str, int], tmp_path: Path, point: str, code: str
) -> None:
    _, name, _ = published
    host = Host(tmp_path / "host")
    where, _, count = point.partition("@")
    faults.arm(f"{where}={code}@{count or 1}")
    try:
        with pytest.raises(OSError, match="fault point"):
            await pull(host, PullRequest(reference.parse(name)), lambda _: None)
    finally:
        faults.arm("")
    assert not host.images.all()
    await retried(host, name)


async def test_s31_a_damaged_or_missing_blob_is_found_and_a_pull_mends_it(
    published: tuple[FaultyProxy, str, int], tmp_path: Path
) -> None:
    _, name, _ = published
    host = Host(tmp_path / "host")
    await retried(host, name)
    layer = host.images.get(name).layers[0].descriptor.digest
    with open(host.store.path(layer), "r+b") as blob:
        blob.write(b"broken")
    problems = await check_images(host, repair=True)
    assert [(problem.what, problem.key, problem.repaired) for problem in problems] == [("damaged", layer, True)]
    assert [problem.what for problem in await check_images(host)] == ["missing"]
    await retried(host, name)
    assert not await check_images(host)
    host.snapshots.layers.clear()
    assert [problem.repaired for problem in await check_images(host, repair=True)] == [True]
    assert host.snapshots.layers


async def test_s31_a_database_that_is_lost_does_not_stop_the_engine(tmp_path: Path) -> None:
    host = Host(tmp_path)
    await use.import_image(host, body(layer_tar({})), ImportOptions(platform("linux/amd64")), reference.parse("x"))
    host.db.close()
    for path in tmp_path.glob("sampan.db*"):
        path.write_bytes(b"nonsense" * 1000)
    again = Host(tmp_path)
    assert again.db.damaged
    strays = await check_images(again, repair=True, stray_age=-1)
    assert {problem.what for problem in strays} == {"stray"} and all(problem.repaired for problem in strays)
    assert not list(again.store.walk())
