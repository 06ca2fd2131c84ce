"""Containers through zygote and shim, without an engine."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from sampan import errors
from sampan.linux.cgroup import Cgroup
from sampan.runtime import CommandFailed, ExecProcess, Shim, read_exit
from tests.support.shimhost import NAMESPACES, ShimHost, process, spec

MEGABYTE = 1 << 20


async def test_a_container_runs_and_its_exit_is_reported(host: ShimHost) -> None:
    shim = await host.create(["sh", "-c", "echo out; echo err >&2; exit 7"])
    stream = await host.attach(shim)
    await shim.start()
    assert await stream.demux() == {1: b"out\n", 2: b"err\n"}
    exited = await host.exit(shim)
    assert (exited.status, exited.oom_killed) == (7, False)
    assert 0 < exited.started_at < exited.finished_at
    assert read_exit(str(host.bundle(shim.container_id))) == exited
    cgroup = Cgroup((await shim.status()).cgroup)
    assert cgroup.exists()
    await shim.close()
    assert not cgroup.exists()
    assert not os.path.exists(host.socket_path(shim))


@pytest.mark.parametrize("parked", [True, False])
async def test_signals_and_netns(host: ShimHost, parked: bool) -> None:
    shim = await host.spawn(parked=parked)
    if parked:
        fd = await shim.netns()
        inode = os.fstat(fd).st_ino
        os.close(fd)
    await host.create_in(shim, ["sleep", "1000"], log="json-file")
    await shim.start()
    fd = await shim.netns()
    assert os.fstat(fd).st_ino != os.stat("/proc/self/ns/net").st_ino
    assert not parked or os.fstat(fd).st_ino == inode
    os.close(fd)
    await shim.signal(None, signal.SIGKILL)
    assert (await host.exit(shim)).status == 137
    with pytest.raises(errors.NotFound):
        await shim.signal(None, signal.SIGTERM)


async def test_a_trap_decides_the_status(host: ShimHost) -> None:
    shim = await host.create(["sh", "-c", 'trap "exit 5" TERM; echo ready; while :; do sleep 0.05; done'])
    stream = await host.attach(shim)
    await shim.start()
    await stream.until(b"ready")
    await shim.signal(None, signal.SIGTERM)
    assert (await host.exit(shim)).status == 5


@pytest.mark.parametrize(
    ("program", "code", "text"),
    [("nope", 127, 'exec: "nope": executable file not found in $PATH'), ("/etc", 126, "permission denied")],
)
async def test_a_program_that_cannot_run(host: ShimHost, program: str, code: int, text: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        await host.run([program])
    assert caught.value.exit_code == code
    assert text in str(caught.value)
    shim = await host.run(["sleep", "1000"])
    with pytest.raises(CommandFailed, match="OCI runtime exec failed: exec failed: unable to start") as caught:
        await host.exec(shim, [program])
    assert caught.value.exit_code == code


async def test_a_terminal_with_its_size(host: ShimHost) -> None:
    shim = await host.create(
        ["sh", "-c", 'stty size; read line; stty size; echo "got $line"'],
        tty=True,
        open_stdin=True,
        console_size=(30, 90),
    )
    stream = await host.attach(shim)
    await shim.start()
    assert b"30 90\r\n" in await stream.until(b"\n")
    await shim.resize(None, 43, 132)
    await stream.send(b"hello\n")
    rest = await stream.read()
    assert b"43 132\r\n" in rest and b"got hello\r\n" in rest
    assert (await host.exit(shim)).status == 0


async def test_clients_come_and_go(host: ShimHost) -> None:
    shim = await host.create(["sh", "-c", 'while read line; do echo "$line"; done; echo end'], open_stdin=True)
    first, second = await host.attach(shim), await host.attach(shim, stdin=False)
    await shim.start()
    await first.send(b"one\n")
    await first.until(b"one\n")
    await second.until(b"one\n")
    first.close()  # without stdin_once the container's stdin stays open
    third = await host.attach(shim)
    await third.send(b"two\n")
    await third.until(b"two\n")
    await shim.close_stdin()
    assert b"end\n" in await third.read()
    assert b"two\n" in (await second.demux())[1] + (await second.read())
    assert (await host.exit(shim)).status == 0


@pytest.mark.parametrize("log", ["json-file", None])
async def test_a_hundred_megabytes_go_both_ways(host: ShimHost, log: str | None) -> None:
    block = os.urandom(MEGABYTE) if log is None else b"".join(b"%063x\n" % index for index in range(MEGABYTE // 64))
    shim = await host.create(["cat"], open_stdin=True, stdin_once=True, log=log)
    stream = await host.attach(shim)
    await shim.start()

    async def feed() -> None:
        for _ in range(100):
            await stream.send(block)
        stream.end_input()

    async def digest() -> str:
        total, pending = hashlib.sha256(), b""
        while data := await stream.recv(MEGABYTE):
            pending += data
            while len(pending) >= 8 and len(pending) >= 8 + (size := int.from_bytes(pending[4:8], "big")):
                total.update(pending[8 : 8 + size])
                pending = pending[8 + size :]
        return total.hexdigest()

    _, got = await asyncio.gather(feed(), digest())
    expected = hashlib.sha256()
    for _ in range(100):
        expected.update(block)
    assert got == expected.hexdigest()
    assert (await host.exit(shim)).status == 0


async def test_a_lone_slow_reader_holds_the_container_back(host: ShimHost) -> None:
    shim = await host.create(["sh", "-c", "yes | head -c 20000000"], log="none")
    stream = await host.attach(shim)
    await shim.start()
    await stream.recv(1)
    await asyncio.sleep(0.3)  # nothing tells that something does not happen
    rss = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{shim.pid}/status").read_text())[1])  # type: ignore[index]
    assert rss < 40_000
    assert (await shim.status()).phase == "running"
    got = await stream.read()
    assert len(got) > 20_000_000
    assert (await host.exit(shim)).status == 0


async def test_a_late_reader_gets_all_of_a_container_that_is_gone(host: ShimHost) -> None:
    shim = await host.create(["sh", "-c", "yes | head -c 400000"])
    stream = await host.attach(shim)
    await shim.start()
    assert (await host.exit(shim)).status == 0
    pidfd = os.pidfd_open(shim.pid)
    await shim.close()
    assert not os.path.exists(host.socket_path(shim))
    assert len((await stream.demux())[1]) == 400_000
    await asyncio.to_thread(_await_exit, pidfd)


async def test_a_stalled_reader_does_not_hold_others_for_ever(host: ShimHost) -> None:
    shim = await host.create(["sh", "-c", "yes | head -c 5000000"])
    stalled, other = await host.attach(shim), await host.attach(shim)
    await shim.start()
    assert len((await other.demux())[1]) == 5_000_000
    assert (await host.exit(shim)).status == 0
    assert 0 < len(await stalled.read()) < 5_000_000


async def test_execs_run_side_by_side(host: ShimHost) -> None:
    shim = await host.run(["sleep", "1000"])
    fast = await host.exec(shim, ["sh", "-c", "echo in; echo err >&2; exit 3"], "fast")
    slow = await host.exec(shim, ["cat"], "slow")
    term = await host.exec(shim, ["sh", "-c", "tty; exit 4"], "term", tty=True)
    assert set((await shim.status()).execs) >= {"slow"}
    assert await fast.demux() == {1: b"in\n", 2: b"err\n"}
    assert b"/dev/pts/" in await term.read()
    await slow.send(b"text")
    slow.end_input()
    assert (await slow.demux())[1] == b"text"
    statuses = {}
    async for exited in shim.exits:
        statuses[exited.exec_id] = exited.status
        if len(statuses) == 3:
            break
    assert statuses == {"fast": 3, "slow": 0, "term": 4}
    with pytest.raises(errors.NotFound):
        await shim.resize("fast", 1, 1)
    background = await host.exec(shim, ["sh", "-c", "sleep 1000 & echo done"], "background")
    assert (await background.demux())[1] == b"done\n"


async def test_a_flood_behind_an_execs_exit_is_cut_off(host: ShimHost) -> None:
    shim = await host.run(["sleep", "1000"])
    stream = await host.exec(shim, ["sh", "-c", "yes & exit 5"])
    exited = await asyncio.wait_for(anext(aiter(shim.exits)), 20)
    assert (exited.exec_id, exited.status) == ("e", 5)
    rss = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{shim.pid}/status").read_text())[1])  # type: ignore[index]
    assert rss < 40_000
    assert len(await stream.read()) > 0


async def test_an_exec_is_signalled_and_ends_with_the_container(host: ShimHost) -> None:
    shim = await host.run(["sleep", "1000"])
    await shim.exec(ExecProcess(exec_id="a", process=process(["sleep", "1000"])))
    await shim.exec(ExecProcess(exec_id="b", process=process(["sleep", "1000"])))
    await shim.signal("a", signal.SIGTERM)
    await shim.signal(None, signal.SIGKILL)
    statuses = {}
    async for exited in shim.exits:
        statuses[exited.exec_id] = exited.status
        if len(statuses) == 3:
            break
    assert statuses == {"a": 143, "b": 137, None: 137}


async def test_a_container_without_a_pid_namespace_leaves_nothing(host: ShimHost) -> None:
    kinds = tuple(kind for kind in NAMESPACES if kind != "pid")
    document = spec(["sh", "-c", "sleep 1000 & sleep 1000 & exit 0"], namespaces=kinds)
    document["mounts"] = document["mounts"][1:]
    shim = await host.spawn(parked=False)
    await host.create_in(shim, [], document=document)
    await shim.start()
    assert (await host.exit(shim)).status == 0
    cgroup = Cgroup((await shim.status()).cgroup)
    await shim.close()
    assert not cgroup.exists()


async def test_out_of_memory_is_told(host: ShimHost) -> None:
    shim = await host.spawn()
    document = spec(
        ["sh", "-c", "head -c 200000000 /dev/zero | tail"], resources={"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    )
    document["process"]["args"] = ["busybox", "sh", "-c", "busybox tail /dev/zero"]
    await host.create_in(shim, [], document=document)
    await shim.start()
    exited = await host.exit(shim)
    assert exited.oom_killed
    assert exited.status == 137


async def test_shims_are_processes_of_their_own(host: ShimHost) -> None:
    shim = await host.run(["sleep", "1000"])
    assert os.getsid(shim.pid) == shim.pid
    title = Path(f"/proc/{shim.pid}/cmdline").read_bytes().rstrip(b"\0").decode()
    assert title == f"sampan-shim {shim.container_id}"
    shown = subprocess.run(["ps", "-o", "comm=", "-p", str(shim.pid)], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "sampan-shim"
    links = [os.readlink(f"/proc/{shim.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{shim.pid}/fd")]
    assert not [
        link for link in links if link.startswith("/") and "dev/null" not in link and str(host.root) not in link
    ]
    for line in Path(f"/proc/{shim.pid}/cgroup").read_text().splitlines():
        assert line.endswith((f"{host.cgroup_parent}/shims", ":/")), line


async def test_exit_files_are_kept_when_no_daemon_listens(host: ShimHost) -> None:
    shim = await host.run(["sh", "-c", "sleep 0.2; echo last words; exit 9"], log="json-file")
    pidfd = os.pidfd_open(shim.pid)
    shim.disconnect()
    await asyncio.get_running_loop().run_in_executor(None, _await_exit, pidfd)
    exited = read_exit(str(host.bundle(shim.container_id)))
    assert exited is not None and exited.status == 9
    assert not os.path.exists(host.socket_path(shim))
    log = host.bundle(shim.container_id) / f"{shim.container_id}-json.log"
    assert json.loads(log.read_text())["log"] == "last words\n"
    with pytest.raises(errors.NotFound):
        await Shim.connect(host.socket_path(shim))


def _await_exit(pidfd: int) -> None:
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(10_000)
    os.close(pidfd)
