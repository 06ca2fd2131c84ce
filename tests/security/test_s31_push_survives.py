"""S31 and S32 for pushes, and for a disk that is really full: killed at any step, the retry goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from sampan.engine import images as use
from sampan.engine.pull import PullRequest, pull
from sampan.engine.push import PushRequest, push
from sampan.image.importing import ImportOptions
from sampan.oci import reference
from sampan.oci.platform import parse as platform
from sampan.registry.failures import Unreachable
from sampan.registry.server.config import ServerConfig
from sampan.registry.server.run import serving as serving_registry

from ..support.imagehost import FAST, Host, body, layer_tar
from ..support.registries import FaultyProxy, faulty_proxy

ROOT = Path(__file__).parents[2]
LAYER = 3 << 20
POINTS = ("upload.begun", "upload.sent", "upload.finished", "upload.sent@2", "push.uploaded", "push.accepted")
PUSH = """
import asyncio, sys
from pathlib import Path
from sampan import faults
from sampan.engine.push import PushRequest, push
from sampan.oci import reference
from tests.support.imagehost import Host
faults.arm(sys.argv[3])
asyncio.run(push(Host(Path(sys.argv[1])), PushRequest(reference.parse(sys.argv[2])), lambda line: None))
"""


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[tuple[FaultyProxy, str]]:
    config = ServerConfig(f"{tmp_path}/registry", host="127.0.0.1", port=0)
    async with serving_registry(config) as (_, port), faulty_proxy(f"127.0.0.1:{port}") as proxy:
        yield proxy


async def made(root: Path, name: str) -> str:
    """An image in a store; returns its manifest's digest."""
    options = ImportOptions(platform("linux/amd64"))
    tar = layer_tar({"x": os.urandom(LAYER)})
    return (await use.import_image(Host(root), body(tar), options, reference.parse(name))).manifest


@pytest.mark.parametrize("point", POINTS)
async def test_s31_killed_in_mid_push(registry: tuple[FaultyProxy, str], tmp_path: Path, point: str) -> None:
    proxy, address = registry
    name = f"{address}/x:1"
    manifest = await made(tmp_path / "host", name)
    where, _, count = point.partition("@")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PUSH, str(tmp_path / "host"), name, f"{where}=kill@{count or 1}",
        cwd=ROOT, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, errors = await process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()
    other = Host(tmp_path / "other")
    if point != "push.accepted":
        with pytest.raises(Exception, match=r"not found|unknown"):
            await pull(other, PullRequest(reference.parse(name)), lambda _: None)
    before = len(proxy.requests)
    again = Host(tmp_path / "host")
    await push(again, PushRequest(reference.parse(name)), lambda _: None)
    # What was finished before is not sent again.
    finished = {"upload.finished": 1, "upload.sent@2": 1, "push.uploaded": 2, "push.accepted": 2}
    sent = [request for request in proxy.requests[before:] if request.startswith("PATCH")]
    assert len(sent) == 2 - finished.get(point, 0)
    (image,) = await pull(other, PullRequest(reference.parse(name)), lambda _: None)
    assert image.manifest == manifest
    assert again.images.get(name).repo_digests == [f"{address}/x@{manifest}"]


async def test_s31_a_registry_that_stops_reading_is_given_up(registry: tuple[FaultyProxy, str], tmp_path: Path) -> None:
    _, address = registry
    upstream_host, _, upstream_port = address.partition(":")
    stalled = 0

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(upstream_host, int(upstream_port))
        await asyncio.gather(copied(reader, back), copied(there, writer))

    async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal stalled
        try:
            while data := await reader.read(1 << 16):
                if data.startswith(b"PATCH") and not stalled:
                    stalled += 1
                    await asyncio.wait_for(gone.wait(), 30)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    gone = asyncio.Event()
    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        name = f"127.0.0.1:{server.sockets[0].getsockname()[1]}/x:1"
        await made(tmp_path / "host", name)
        host = Host(tmp_path / "host", replace(FAST, stall_timeout=1, max_attempts=1))
        with pytest.raises(Unreachable, match="moved no byte for 1 s"):
            await push(host, PushRequest(reference.parse(name)), lambda _: None)
        assert stalled == 1
        gone.set()
        await push(host, PushRequest(reference.parse(name)), lambda _: None)
    finally:
        gone.set()
        server.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 of its own, with room for a layer but not for two."""
    image, place = tmp_path / "disk", tmp_path / "mounted"
    with open(image, "wb") as file:
        file.truncate(10 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image], check=True)
    place.mkdir()
    subprocess.run(["mount", "-o", "loop", image, place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


async def test_s31_a_full_disk_in_mid_pull(registry: tuple[FaultyProxy, str], tmp_path: Path, small_disk: Path) -> None:
    proxy, address = registry
    name = f"{address}/x:1"
    await made(tmp_path / "maker", name)
    await push(Host(tmp_path / "maker"), PushRequest(reference.parse(name)), lambda _: None)
    host = Host(small_disk / "root")
    room = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    (small_disk / "ballast").write_bytes(bytes(room - (2 << 20)))
    with pytest.raises(OSError, match="No space left on device"):
        await pull(host, PullRequest(reference.parse(name)), lambda _: None)
    assert not host.images.all()
    host.db.close()
    ((_, kept),) = host.store.list_partial()
    assert kept >= 1 << 20
    (small_disk / "ballast").unlink()
    again = Host(small_disk / "root")  # it opens
    proxy.sent.clear()
    (image,) = await pull(again, PullRequest(reference.parse(name)), lambda _: None)
    assert again.images.get(name).id == image.id
    assert proxy.blob_bytes() <= image.layers[0].descriptor.size - kept + 1000
    again.db.close()
