"""Daemon, zygote and shim each die while containers run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sampan import errors
from sampan.linux.cgroup import Cgroup
from sampan.runtime import Shim, ShimGone, Zygote, read_exit
from tests.support.shimhost import ShimHost, ended

COUNT = ["sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; cat; exit 6"]


def log_lines(host: ShimHost, shim: Shim) -> list[str]:
    path = host.bundle(shim.container_id) / f"{shim.container_id}-json.log"
    return [json.loads(line)["log"] for line in path.read_text().splitlines()]


async def test_a_daemon_comes_back_and_no_line_is_lost(host: ShimHost) -> None:
    shim = await host.run(COUNT, log="json-file", open_stdin=True, stdin_once=True)
    execed = await host.exec(shim, ["cat"])
    shim.disconnect()
    back = await Shim.connect(host.socket_path(shim))
    host.shims.append(back)
    status = await back.status()
    assert (status.phase, status.init_pid) == ("running", shim.init_pid)
    assert (back.pid, back.container_id, list(status.execs)) == (shim.pid, shim.container_id, ["e"])
    execed.end_input()
    assert (await anext(aiter(back.exits))).exec_id == "e"
    stream = await host.attach(back)
    stream.end_input()
    exited = await host.exit(back)
    assert exited.status == 6
    assert log_lines(host, shim) == [f"line {number}\n" for number in range(3000)]
    again = await Shim.connect(host.socket_path(shim))
    assert (await again.status()).exit == exited
    again.disconnect()


async def test_containers_do_not_notice_a_zygotes_death(host: ShimHost) -> None:
    shim = await host.run(["cat"], open_stdin=True, stdin_once=True)
    first = host.zygote.pid
    os.kill(first, signal.SIGKILL)
    await ended(first)
    for _ in range(3):  # one from the pool, the others by a new zygote
        other = await host.run(["sh", "-c", "exit 3"])
        assert (await host.exit(other)).status == 3
    assert host.zygote.pid != first
    stream = await host.attach(shim)
    await stream.send(b"alive")
    stream.end_input()
    assert (await stream.demux())[1] == b"alive"
    assert (await host.exit(shim)).status == 0


@pytest.mark.parametrize("connected", [True, False])
async def test_a_killed_shim_takes_its_container_along(host: ShimHost, connected: bool) -> None:
    shim = await host.spawn()
    (host.bundle(shim.container_id) / "exit.json").write_text('{"t":"Exited","status":0}')  # of an earlier run
    await host.create_in(shim, ["sh", "-c", "sleep 1000 & sleep 1000"])
    await shim.start()
    cgroup = Cgroup((await shim.status()).cgroup)
    assert read_exit(str(host.bundle(shim.container_id))) is None
    if not connected:
        shim.disconnect()
    os.kill(shim.pid, signal.SIGKILL)
    if connected:
        assert [exited async for exited in shim.exits] == []
        with pytest.raises(ShimGone):
            await shim.status()
    else:
        await ended(shim.pid)
        with pytest.raises(errors.NotFound):
            await Shim.connect(host.socket_path(shim))
    await ended(shim.init_pid)
    assert not cgroup.exists()
    assert not os.path.exists(os.path.dirname(host.socket_path(shim)))
    assert read_exit(str(host.bundle(shim.container_id))) is None


@pytest.mark.parametrize("daemon_dies", [True, False])
async def test_a_container_that_was_not_started_ends_with_its_daemon(host: ShimHost, daemon_dies: bool) -> None:
    shim = await host.create(["sleep", "1000"])
    cgroup = Cgroup((await shim.status()).cgroup)
    if daemon_dies:
        shim.disconnect()
    else:
        await shim.close()
    await ended(shim.init_pid)
    await ended(shim.pid)
    assert not cgroup.exists()
    assert not os.path.exists(os.path.dirname(host.socket_path(shim)))


async def test_a_killed_parked_shim_is_passed_over(host: ShimHost) -> None:
    first = await host.spawn()
    children = Path(f"/proc/{host.zygote.pid}/task/{host.zygote.pid}/children")
    for _ in range(500):
        parked = [int(pid) for pid in children.read_text().split() if int(pid) != first.pid]
        if parked:
            break
        await asyncio.sleep(0.01)
    worker = Path(f"/proc/{parked[0]}/task/{parked[0]}/children").read_text().split()
    os.kill(parked[0], signal.SIGKILL)
    for pid in worker:
        await ended(int(pid))
    second = await host.run(["true"])
    assert second.pid != parked[0]
    assert (await host.exit(second)).status == 0


async def test_a_forked_zygote_leaves_with_its_daemon(host: ShimHost) -> None:
    """As the daemon does it: fork first, then asyncio; the daemon is killed, the container lives on."""
    script = f"""
import sys
from sampan.shim import zygote
pid, sock = zygote.fork()
import asyncio
from sampan.runtime import CreateContainer, Zygote
from tests.support.shimhost import spec
async def main():
    daemon = Zygote({str(host.exec_root)!r}, {host.cgroup_parent!r}, 2)
    daemon.adopt(pid, sock)
    shim = await daemon.spawn("f" * 64, parked=True)
    bundle = {str(host.bundle("f" * 64))!r}
    await shim.create(CreateContainer(bundle=bundle, state_dir=bundle, cgroup={host.cgroup_parent!r} + "/" + "f" * 64,
                                      spec=spec(["sleep", "1000"])))
    await shim.start()
    print(pid, shim.pid, flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert daemon.stdout is not None
    zygote_pid, shim_pid = map(int, (await asyncio.wait_for(daemon.stdout.readline(), 20)).split())
    daemon.kill()
    # The end of the daemon's stdout shows that neither zygote nor shim holds it.
    assert await asyncio.wait_for(daemon.stdout.read(), 10) == b""
    await daemon.wait()
    await ended(zygote_pid)
    back = await Shim.connect(f"{host.exec_root}/shims/{'f' * 64}/shim.sock")
    host.shims.append(back)
    assert back.pid == shim_pid
    assert (await back.status()).phase == "running"


async def test_garbage_on_the_socket_ends_that_connection_only(host: ShimHost) -> None:
    shim = await host.run(["sleep", "1000"])
    from sampan.runtime.shim import connect_socket

    for garbage in (b"\0", b"\xff" * 64, b"\0\0\0\2{}", b"\0\0\0\0"):
        with connect_socket(host.socket_path(shim)) as sock:
            sock.settimeout(10)
            sock.recv(65536)  # the greeting
            sock.send(garbage)
            assert sock.recv(65536) == b""
    assert (await shim.status()).phase == "running"


def test_a_zygote_that_cannot_be_started_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        zygote = Zygote(str(tmp_path), "/sampan-shimtest-none", 1)
        with pytest.raises(ShimGone):
            await zygote.spawn("a" * 64, parked=False)
        await zygote.close()

    assert socket.AF_UNIX
    asyncio.run(main())
