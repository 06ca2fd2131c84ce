"""A volume plugin that answers the calls it is told to hold only when it is let go."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class SlowPlugin(socketserver.ThreadingUnixStreamServer):
    """Its volumes' data is its directory; `asked` and `go` belong to the call that is held."""

    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.calls: list[str] = []
        self.held = ""
        self.asked, self.go = threading.Event(), threading.Event()
        super().__init__(str(directory / "slow.sock"), _Handler)

    @contextmanager
    def holding(self, method: str) -> Iterator[None]:
        """Not answering one kind of call."""
        self.asked.clear()
        self.go.clear()
        self.held = f"/VolumeDriver.{method}"
        try:
            yield
        finally:
            self.held = ""
            self.go.set()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: SlowPlugin  # type: ignore[assignment] # ours

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append(self.path.rpartition(".")[2])
        if self.path == self.server.held:
            self.server.asked.set()
            self.server.go.wait()
        with suppress(BrokenPipeError, ConnectionResetError):  # who asked waits no longer
            self._answer()

    def _answer(self) -> None:
        data = json.dumps({"Implements": ["VolumeDriver"], "Mountpoint": str(self.server.directory)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def running(directory: Path) -> Iterator[SlowPlugin]:
    """The plugin `slow`, with its socket in a directory."""
    with SlowPlugin(directory) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.go.set()
        server.shutdown()
        thread.join()
