"""A shim whose container is left alone keeps next to nothing, and is whole again as soon as something happens."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from sampan.runtime import Shim
from tests.support.shimhost import ShimHost, ended


async def settled(shim: Shim) -> Shim:
    """Once container init is the keeper's own child: the worker has gone."""
    for _ in range(1500):
        if f"\nPPid:\t{shim.pid}\n" in Path(f"/proc/{shim.init_pid}/status").read_text():
            return shim
        await asyncio.sleep(0.01)
    raise AssertionError("the worker lives on")


def private(pid: int) -> int:
    """Private memory, kB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))


async def test_it_keeps_next_to_nothing_and_serves_as_before(host: ShimHost) -> None:
    program = ["sh", "-c", "echo before; read line; echo got $line; echo error >&2; exit 5"]
    shim = await settled(await host.run(program, log="json-file", open_stdin=True))
    alone = private(shim.pid)
    inside = await host.exec(shim, ["echo", "inside"])
    assert await inside.demux() == {1: b"inside\n", 2: b""}
    assert private(shim.pid) > alone + 500
    stream = await host.attach(shim)
    await stream.send(b"this\n")
    assert await stream.demux() == {1: b"got this\n", 2: b"error\n"}
    exited = await host.exit(shim)
    assert exited.status == 5 and exited.started_at < exited.finished_at
    log = (host.bundle(shim.container_id) / f"{shim.container_id}-json.log").read_text()
    assert [line.split('"')[3] for line in log.splitlines()] == ["before\\n", "got this\\n", "error\\n"]


async def test_a_terminal_goes_on(host: ShimHost) -> None:
    program = ["sh", "-c", "read line; stty size; exit 3"]
    shim = await settled(await host.run(program, tty=True, open_stdin=True))
    await shim.resize(None, 43, 132)
    stream = await host.attach(shim)
    await stream.send(b"\n")
    assert b"43 132\r\n" in await stream.read()
    assert (await host.exit(shim)).status == 3


@pytest.mark.parametrize("connected", [True, False])
async def test_an_end_is_told(host: ShimHost, connected: bool) -> None:
    shim = await settled(await host.run(["sleep", "1000"]))
    if not connected:
        shim.disconnect()
    os.kill(shim.init_pid, signal.SIGKILL)
    if connected:
        assert (await host.exit(shim)).status == 137
        return
    await ended(shim.pid)
    assert '"status":137' in (host.bundle(shim.container_id) / "exit.json").read_text()


async def test_another_daemon_finds_it(host: ShimHost) -> None:
    shim = await settled(await host.run(["sleep", "1000"]))
    shim.disconnect()
    back = await Shim.connect(host.socket_path(shim))
    host.shims.append(back)
    status = await back.status()
    assert (back.pid, status.phase, status.init_pid) == (shim.pid, "running", shim.init_pid)
    await back.signal(None, signal.SIGKILL)
    assert (await host.exit(back)).status == 137


async def test_whoever_is_attached_keeps_the_worker(host: ShimHost) -> None:
    shim = await host.create(["cat"], open_stdin=True, stdin_once=True)
    stream = await host.attach(shim)
    await shim.start()
    await asyncio.sleep(1.5)  # longer than a container must be quiet
    await stream.send(b"text")
    stream.end_input()
    assert (await stream.demux())[1] == b"text"
    assert (await host.exit(shim)).status == 0
