"""Our registry under many pushers and pullers while it is killed again and again."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec.structs import replace

from sampan.engine import images as use
from sampan.engine.pull import PullRequest, pull
from sampan.engine.push import PushRequest, push
from sampan.errors import SampanError
from sampan.image.importing import ImportOptions
from sampan.oci import reference
from sampan.oci.platform import parse as platform
from sampan.registry.server.collection import parts
from sampan.registry.server.storage import RegistryStorage

from ..support.imagehost import FAST, Host, body, layer_tar

SERVE = """
import asyncio, sys
from sampan.registry.server.config import ServerConfig
from sampan.registry.server.run import serve
config = ServerConfig(sys.argv[1], host="127.0.0.1", port=int(sys.argv[2]), gc_grace=2, gc_interval=0.3)
asyncio.run(serve(config, lambda port: print(port, flush=True)))
"""
PUSHERS, PULLERS, KILLS = 12, 4, 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def dying_server(root: Path, port: int) -> AsyncIterator[None]:
    """A server that is killed at random and started again, `KILLS` times; then it stays."""
    ready, done = asyncio.Event(), asyncio.Event()

    async def keep() -> None:
        for number in itertools.count():
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", SERVE, str(root), str(port), stdout=subprocess.PIPE
            )
            assert process.stdout is not None
            await process.stdout.readline()
            ready.set()
            if number < KILLS:
                await asyncio.sleep(random.uniform(0.05, 0.4))  # how long it lives is the test's dice
            else:
                await done.wait()
            process.send_signal(signal.SIGKILL)
            await process.wait()
            if done.is_set():
                return

    task = asyncio.create_task(keep())
    await ready.wait()
    try:
        yield
    finally:
        done.set()
        await task


async def test_no_accepted_manifest_lacks_a_blob(tmp_path: Path) -> None:
    port = free_port()
    name = f"127.0.0.1:{port}/r"
    config = replace(FAST, max_attempts=4, retry_delay=0.02, stall_timeout=5, max_concurrent_uploads=20)
    accepted: list[tuple[str, str]] = []

    async def one_push(number: int) -> None:
        host = Host(tmp_path / f"push{number}", config)
        shared = layer_tar({"shared": bytes(range(256)) * 400})
        for turn in range(2):
            content = shared if turn == 0 else layer_tar({"own": os.urandom(200_000)})
            target = reference.parse(f"{name}{number % 3}:{number}-{turn}")
            image = await use.import_image(host, body(content), ImportOptions(platform("linux/amd64")), target)
            while True:
                try:
                    await push(host, PushRequest(target), lambda _: None)
                    break
                except SampanError:
                    await asyncio.sleep(0.05)
            accepted.append((str(target), image.manifest))

    async def one_pull(number: int) -> None:
        for turn in range(2):
            while not accepted:
                await asyncio.sleep(0.02)
            target, digest = random.choice(accepted)
            host = Host(tmp_path / f"pull{number}-{turn}", config)
            while True:
                try:
                    (image,) = await pull(host, PullRequest(reference.parse(target)), lambda _: None)
                    break
                except SampanError:
                    await asyncio.sleep(0.05)
            assert image.manifest == digest

    root = tmp_path / "registry"
    async with dying_server(root, port):
        await asyncio.gather(*map(one_push, range(PUSHERS)), *map(one_pull, range(PULLERS)))
    storage = RegistryStorage(str(root))
    for repository in storage.names():
        for digest in storage.manifests(repository):
            kept = storage.manifest(repository, digest)
            assert kept is not None, f"{repository}@{digest} is a link to nothing"
            for part in parts(*kept):
                assert storage.store.exists(part) and storage.store.verify(part)
    for target, digest in accepted:
        parsed = reference.parse(target)
        assert storage.resolve(parsed.path, parsed.tag) == digest
