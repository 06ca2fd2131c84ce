"""S26: exec, attach and resize over and over leave memory and descriptors flat; a client that stops reading stalls
neither the daemon nor other clients (CVE-2022-23471, CVE-2025-64329)."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ..support.daemon import Daemon

CYCLES = 10_000 if os.environ.get("SAMPAN_FUZZ") == "long" else 150


@pytest.fixture(scope="module")
def own() -> Iterator[Daemon]:
    daemon = Daemon().start()
    daemon.load_busybox()
    yield daemon
    daemon.close()


def connect(daemon: Daemon) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(daemon.socket)
    return connection


def post(daemon: Daemon, path: str, body: object = None, *, upgrade: bool = False) -> socket.socket:
    """Send a request; its connection."""
    data = json.dumps(body).encode() if body is not None else b""
    lines = [f"POST /v1.51{path} HTTP/1.1", "Host: d", f"Content-Length: {len(data)}"]
    lines += ["Content-Type: application/json"] if data else []
    lines += ["Connection: Upgrade", "Upgrade: tcp"] if upgrade else ["Connection: close"]
    connection = connect(daemon)
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
    return connection


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(65536):
        data += part
    return data


def footprint(daemon: Daemon) -> tuple[int, int]:
    """Descriptors, and resident memory in KiB."""
    pages = int(Path(f"/proc/{daemon.pid}/statm").read_text().split()[1])
    return len(os.listdir(f"/proc/{daemon.pid}/fd")), pages * 4


def settled(daemon: Daemon, descriptors: int) -> int:
    """The number of descriptors once it is down to what it was, or after ten seconds."""
    deadline = time.monotonic() + 10
    while (now := footprint(daemon)[0]) > descriptors and time.monotonic() < deadline:
        time.sleep(0.02)  # the daemon closes in its own time and tells nobody
    return now


def cycle(daemon: Daemon, container: str) -> None:
    """One exec, one attachment that is dropped, one that is half-closed first, one resize."""
    with closing(post(daemon, f"/containers/{container}/exec", {"Cmd": ["true"], "AttachStdout": True})) as made:
        exec_id = json.loads(read_all(made).partition(b"\r\n\r\n")[2])["Id"]
    with closing(post(daemon, f"/exec/{exec_id}/start", {}, upgrade=True)) as started:
        assert read_all(started).startswith(b"HTTP/1.1 101 ")
    for half in (False, True):
        path = f"/containers/{container}/attach?stream=1&stdin=1&stdout=1"
        with closing(post(daemon, path, upgrade=True)) as attached:
            assert attached.recv(4096).startswith(b"HTTP/1.1 101 ")
            if half:
                attached.shutdown(socket.SHUT_WR)
    with closing(post(daemon, f"/containers/{container}/resize?h=10&w=20")) as resized:
        assert b" 200 " in read_all(resized)[:20]


def test_s26_cycles_leave_no_trace(own: Daemon) -> None:
    container = own.ok("run", "-dit", "--network", "none", "busybox", "sleep", "9999")
    for _ in range(30):
        cycle(own, container)
    descriptors, memory = footprint(own)
    for _ in range(CYCLES):
        cycle(own, container)
    assert settled(own, descriptors) <= descriptors
    assert footprint(own)[1] < memory * 1.05 + 1024, (memory, footprint(own)[1])
    own.ok("rm", "-f", container)


def test_s26_a_client_that_does_not_read_stalls_nobody(own: Daemon) -> None:
    container = own.ok("run", "-d", "--network", "none", "--log-driver", "none", "busybox", "sleep", "9999")
    body = {"Cmd": ["yes"], "AttachStdout": True}
    stuck = []
    for _ in range(5):
        with closing(post(own, f"/containers/{container}/exec", body)) as made:
            exec_id = json.loads(read_all(made).partition(b"\r\n\r\n")[2])["Id"]
        stuck.append(post(own, f"/exec/{exec_id}/start", {}, upgrade=True))
    events = connect(own)
    events.sendall(b"GET /v1.51/events HTTP/1.1\r\nHost: d\r\n\r\n")
    memory = footprint(own)[1]
    began = time.monotonic()
    for number in range(20):
        assert own.ok("exec", container, "echo", str(number)) == str(number)
    assert time.monotonic() - began < 30
    assert footprint(own)[1] < memory + (16 << 10)
    for connection in (*stuck, events):
        connection.close()
    own.ok("rm", "-f", container)
