"""Containers whose logs go elsewhere: what arrives there, what `logs` still shows, and what a slow receiver does."""

from __future__ import annotations

import asyncio
import json
import socket
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sampan.engine import start, wait
from sampan.engine.container import Container
from sampan.engine.engine import Engine
from sampan.engine.logs import LogsRequest, logs
from sampan.logs import writers
from sampan.model.container import HostConfig, LogConfig

from ...support.engine import make

LINES = 12_000
SCRIPT = f"yes {'0123456789' * 90} | head -n {LINES}; echo done >&2"
"""11 MB: more than pipes, sockets and the shim's queue hold."""


async def made(engine: Engine, driver: str, options: dict[str, str], script: str, **given: object) -> Container:
    host = HostConfig(network_mode="none", log_config=LogConfig(type=driver, config=options), **given)  # type: ignore[arg-type]
    return await make(engine, "sh", "-c", script, host=host, labels={"team": "blue"}, env=["MODE=x"])


async def output(engine: Engine, container: Container) -> bytes:
    """What `docker logs` shows on standard output."""
    pieces = logs(engine, container.id, LogsRequest(stderr=False))
    raw, found, place = b"".join([piece async for piece in pieces]), [], 0
    while place < len(raw):
        end = place + 8 + int.from_bytes(raw[place + 4 : place + 8], "big")
        found.append(raw[place + 8 : end])
        place = end
    return b"".join(found)


def _gelf(data: bytes) -> tuple[object, ...]:
    found = json.loads(zlib.decompress(data, 47))
    return found["short_message"], found["_tag"], found["_team"], found["_MODE"]


def _syslog(data: bytes) -> tuple[object, ...]:
    head, _, text = data.decode().partition("]: ")
    return text.rstrip("\n"), head.rpartition(" ")[2].partition("[")[0], "blue", "x"


@pytest.mark.parametrize(("driver", "read"), [("syslog", _syslog), ("gelf", _gelf)])
async def test_a_line_arrives_with_its_tag_and_logs_shows_it_too(
    engine: Engine, driver: str, read: Callable[[bytes], tuple[object, ...]]
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        options = {f"{driver}-address": f"udp://127.0.0.1:{server.getsockname()[1]}", "tag": "app-{{.ImageName}}"}
        options |= {"labels": "team", "env": "MODE"} if driver == "gelf" else {}
        box = await made(engine, driver, options, "echo hello")
        ticket = wait.wait(engine, box.id, "next-exit")
        await start.start(engine, box.id)
        data = await asyncio.to_thread(server.recv, 65536)
        await ticket.result(60)
    assert read(data) == ("hello", "app-busybox", "blue", "x")
    assert await output(engine, box) == b"hello\n"


async def test_blocking_mode_waits_for_a_slow_service_and_loses_nothing(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        box = await made(engine, "syslog", {"syslog-address": address}, SCRIPT)
        ticket = wait.wait(engine, box.id, "next-exit")
        await start.start(engine, box.id)
        connection, _ = server.accept()
        kept = Path(writers.path("syslog", engine.paths.container(box.id), box.id))
        async with asyncio.timeout(120):
            while not kept.exists() or kept.stat().st_size < 1 << 19:  # it wrote all that fits somewhere
                await asyncio.sleep(0.05)
        assert box.running  # and cannot end before somebody reads
        connection.settimeout(60)
        received = asyncio.create_task(asyncio.to_thread(_lines, connection, LINES + 1))
        assert (await ticket.result(120)).status == 0
        assert await received == LINES + 1
    assert (await output(engine, box)).count(b"\n") == LINES


def _lines(connection: socket.socket, wanted: int) -> int:
    count = 0
    with connection:
        while count < wanted and (data := connection.recv(1 << 20)):
            count += data.count(b"\n")
    return count


async def test_non_blocking_mode_never_holds_up_a_container(engine: Engine, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        options = {"syslog-address": address, "mode": "non-blocking", "max-buffer-size": "64k"}
        box = await made(engine, "syslog", options, f"{SCRIPT}; touch /seen/end", binds=[f"{tmp_path}:/seen"])
        ticket = wait.wait(engine, box.id, "next-exit")
        await start.start(engine, box.id)
        connection, _ = server.accept()
        async with asyncio.timeout(120):
            while not (tmp_path / "end").exists():  # nobody reads, and it comes to its end
                await asyncio.sleep(0.05)
        connection.settimeout(60)
        received = asyncio.create_task(asyncio.to_thread(_lines, connection, LINES + 1))
        assert (await ticket.result(120)).status == 0
        assert 0 < await received < LINES  # what was beyond the buffer is gone
