"""Docker's volume plugin protocol against a plugin that speaks it."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.db import Database
from sampan.errors import NotFound, SampanError, Unavailable
from sampan.volume import Plugins, Volumes


class Plugin(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.calls: list[tuple[str, dict[str, object]]] = []
        self.refusing: set[str] = set()
        super().__init__(str(directory / "store.sock"), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Plugin  # type: ignore[assignment]

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        method = self.path.lstrip("/")
        self.server.calls.append((method, body))
        answer: dict[str, object] = {
            "Plugin.Activate": {"Implements": ["VolumeDriver"]},
            "VolumeDriver.Capabilities": {"Capabilities": {"Scope": "global"}},
            "VolumeDriver.Mount": {"Mountpoint": str(self.server.directory)},
            "VolumeDriver.Path": {"Mountpoint": str(self.server.directory)},
            "VolumeDriver.Get": {"Volume": {"Name": "v", "Status": {"healthy": True}}},
            "VolumeDriver.Remove": {"Err": "still wanted"},
        }.get(method, {})
        if method in self.server.refusing:
            answer = {"Err": "no"}
        data = json.dumps(answer).encode()
        self.send_response(500 if "Err" in answer else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Plugin]:
    with Plugin(tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_a_volume_of_a_plugin(plugin: Plugin, tmp_path: Path) -> None:
    volumes = Volumes(Database(f"{tmp_path}/db"), f"{tmp_path}/volumes", plugins=Plugins([str(tmp_path)], []))
    made = await volumes.create("remote", "store", {"replicas": "3"})
    assert (made.scope, made.mountpoint) == ("global", str(tmp_path))
    assert await volumes.mount("remote", "box") == str(tmp_path)
    await volumes.unmount("remote", "box")
    assert (await volumes.status(made)).status == {"healthy": True}
    assert ("VolumeDriver.Create", {"Name": "remote", "Opts": {"replicas": "3"}}) in plugin.calls
    assert ("VolumeDriver.Mount", {"Name": "remote", "ID": "box"}) in plugin.calls
    for force in (False, True):  # dockerd tells the error either way, and forgets the volume when forced to
        with pytest.raises(SampanError, match=r"^remove remote: VolumeDriver.Remove: still wanted$"):
            await volumes.remove("remote", force=force)
        assert volumes.exists("remote") is not force
    plugin.refusing = {"VolumeDriver.Path", "VolumeDriver.Mount", "VolumeDriver.Get"}
    made = await volumes.create("other", "store")
    assert made.mountpoint == ""
    with pytest.raises(SampanError, match=r"^error while mounting volume '': VolumeDriver.Mount: no$"):
        await volumes.mount("other", "box")
    with pytest.raises(NotFound, match=r"^get other: no such volume$"):
        await volumes.status(made)


def test_plugins_are_found_by_socket_and_spec(plugin: Plugin, tmp_path: Path) -> None:
    specs = tmp_path / "specs"
    specs.mkdir()
    (specs / "spec.spec").write_text(f"unix://{tmp_path}/store.sock\n")
    (specs / "json.json").write_text(json.dumps({"Name": "json", "Addr": f"unix://{tmp_path}/store.sock"}))
    (specs / "dead.spec").write_text(f"unix://{tmp_path}/dead.sock")
    plugins = Plugins([str(tmp_path)], [str(specs)])
    assert plugins.names() == ["dead", "json", "spec", "store"]
    for name in ("store", "spec", "json"):
        assert plugins.get(name).scope == "global"
    with pytest.raises(Unavailable):
        plugins.get("dead")
    for name in ("nosuch", "../store", ""):
        with pytest.raises(NotFound):
            plugins.get(name)
