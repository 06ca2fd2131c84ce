"""A volume whose driver does not answer keeps its own container waiting, and nobody else."""

from __future__ import annotations

import asyncio
import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.engine import create, listing, remove, start
from sampan.engine.engine import Engine
from sampan.model.container import CreateRequest, HostConfig
from sampan.volume import Plugins


class SlowPlugin(socketserver.ThreadingUnixStreamServer):
    """Answers `Mount` when it is let go."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked, self.go = threading.Event(), threading.Event()
        super().__init__(str(directory / "slow.sock"), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: SlowPlugin  # type: ignore[assignment] # ours

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("Mount"):
            self.server.asked.set()
            assert self.server.go.wait(30)
        answer = {"Implements": ["VolumeDriver"], "Mountpoint": str(self.server.directory)}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[SlowPlugin]:
    with SlowPlugin(tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.go.set()
        server.shutdown()
        thread.join()


async def test_the_engine_goes_on_while_a_plugin_mounts(engine: Engine, plugin: SlowPlugin, tmp_path: Path) -> None:
    engine.volumes.plugins = Plugins([str(tmp_path)], [])
    engine.volumes.create("late", "slow", None, None)
    host = HostConfig(network_mode="none", binds=["late:/d:nocopy"])
    request = CreateRequest(image="busybox", cmd=["sleep", "100"], host_config=host)
    made = await create.create(engine, None, request, None)
    starting = asyncio.create_task(start.start(engine, made.id))
    async with asyncio.timeout(30):
        assert await asyncio.to_thread(plugin.asked.wait, 30)
        assert not starting.done()
        assert [found.id for found in listing.list_containers(engine, {}, all_containers=True)] == [made.id]
        plugin.go.set()
        await starting
    assert engine.containers.get(made.id).running
    await remove.remove(engine, made.id, force=True, volumes=False, link=False)
    engine.volumes.remove("late", force=True)
