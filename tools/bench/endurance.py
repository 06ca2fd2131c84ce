"""What a daemon keeps of what it has done."""

from __future__ import annotations

import json
import os
import time

from .crowd import Api, connected
from .engines import Dockerd, Sampan
from .measure import SETTLED, alone

WARM, CYCLES = 20, 100


def growth(sampan: Sampan, dockerd: Dockerd) -> dict[str, float]:
    """Megabytes that a daemon has grown by after 100 runs, each with its logs, an exec and an inspection."""
    figures = {}
    for engine in (sampan, dockerd):
        pid = engine.daemons()[0]
        with connected(engine.socket) as api:
            _cycle(api, engine.socket, WARM)
            time.sleep(SETTLED)
            before, files = alone([pid]), len(os.listdir(f"/proc/{pid}/fd"))
            _cycle(api, engine.socket, CYCLES)
            time.sleep(SETTLED)
            figures[engine.name] = alone([pid]) - before
            left = len(os.listdir(f"/proc/{pid}/fd")) - files
            if left > 2:
                raise RuntimeError(f"{engine.name} has {left} more files open than before")
    return figures


def _cycle(api: Api, socket: str, count: int) -> None:
    for _ in range(count):
        made = json.loads(api.call("POST", "/containers/create", {"Image": "busybox", "Cmd": ["sleep", "100"]}))["Id"]
        api.call("POST", f"/containers/{made}/start")
        command = {"Cmd": ["true"], "AttachStdout": True}
        process = json.loads(api.call("POST", f"/containers/{made}/exec", command))["Id"]
        with connected(socket) as stream:  # it does not go back to being an HTTP connection
            stream.call("POST", f"/exec/{process}/start", {"Detach": False})
        api.call("GET", f"/containers/{made}/logs?stdout=1")
        api.call("GET", f"/containers/{made}/json")
        api.call("DELETE", f"/containers/{made}?force=1")
