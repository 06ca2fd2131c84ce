"""What can be asked of a running container: exec, top, stats, update, resize, logs."""

from __future__ import annotations

import asyncio
import os
from itertools import chain

import pytest

from sampan.engine import exec as execs
from sampan.engine import kill, resize, stats, top, update
from sampan.engine.container import Container
from sampan.engine.engine import Engine
from sampan.engine.logs import LogsRequest, logs
from sampan.errors import Conflict, InvalidArgument, NotFound, SampanError
from sampan.linux.cgroup import Cgroup
from sampan.model.container import HostConfig
from sampan.runtime import CommandFailed

from ...support.engine import make, run, talk, up, up_and_ready


async def execute(engine: Engine, container: Container, *cmd: str, stdin: bytes | None = None,
                  **config: object) -> tuple[int, bytes, bytes]:  # fmt: skip
    wanted = execs.ExecConfig(
        cmd=list(cmd),
        attach_stdin=stdin is not None,
        attach_stdout=True,
        attach_stderr=True,
        **config,  # type: ignore[arg-type]
    )
    exec_id = execs.create(engine, container.id, wanted)
    attachment = await execs.start(engine, exec_id, execs.ExecStart())
    assert attachment is not None
    out, err = await talk(attachment, stdin)
    return await execs.result(engine, exec_id), out, err


async def test_exec(engine: Engine) -> None:
    container = await up(engine, "sleep", "1000", name="execs", env=["A=1"], working_dir="/tmp")
    assert await execute(engine, container, "sh", "-c", "echo o; echo e >&2; exit 6") == (6, b"o\n", b"e\n")
    assert await execute(engine, container, "cat", stdin=b"x" * 100_000) == (0, b"x" * 100_000, b"")
    _, out, _ = await execute(engine, container, "sh", "-c", "echo $A $B; pwd; id -u", env=["B=2"], user="33")
    assert out == b"1 2\n/tmp\n33\n"
    assert (await execute(engine, container, "tty", tty=True))[1].startswith(b"/dev/pts/")
    for command, code, text in (
        ("nosuch", 127, 'exec: "nosuch": executable file not found in $PATH'),
        ("/etc/passwd", 126, 'exec: "/etc/passwd": permission denied'),
    ):
        exec_id = execs.create(engine, container.id, execs.ExecConfig(cmd=[command], attach_stdout=True))
        with pytest.raises(CommandFailed) as failure:
            await execs.start(engine, exec_id, execs.ExecStart())
        prefix = "OCI runtime exec failed: exec failed: unable to start container process: "
        assert (str(failure.value), execs.get(engine, exec_id).exit_code) == (prefix + text, code)
    with pytest.raises(InvalidArgument, match="unable to find user nosuch: no matching entries in passwd file"):
        await execute(engine, container, "true", user="nosuch")
    with pytest.raises(NotFound, match="No such exec instance: nosuch"):
        execs.get(engine, "nosuch")
    assert engine.live(container).execs.keys() == {  # only what has not ended
        process.id for process in engine.execs.values() if process.exit_code is None
    }


async def test_detached_exec_and_its_end_with_the_container(engine: Engine) -> None:
    container = await up(engine, "sleep", "1000")
    exec_id = execs.create(engine, container.id, execs.ExecConfig(cmd=["sleep", "1000"]))
    assert await execs.start(engine, exec_id, execs.ExecStart(detach=True)) is None
    assert execs.get(engine, exec_id).running
    with pytest.raises(Conflict):
        await execs.start(engine, exec_id, execs.ExecStart(detach=True))
    waiting = asyncio.ensure_future(execs.result(engine, exec_id))
    await asyncio.sleep(0)
    await kill.kill(engine, container.id)
    assert await waiting == 137
    with pytest.raises(Conflict, match=f"container {container.id} is not running"):
        execs.create(engine, container.id, execs.ExecConfig(cmd=["true"]))


async def test_execs_that_nobody_starts_are_bounded(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execs, "WAITING_KEPT", 3)
    box = await up(engine, "sleep", "1000")
    config = execs.ExecConfig(cmd=["true"])
    first = execs.create(engine, box.id, config)
    await execs.start(engine, first, execs.ExecStart(detach=True))
    made = [execs.create(engine, box.id, config) for _ in range(5)]
    assert {one for one in made if one in engine.execs} == set(made[2:])
    assert await execs.result(engine, first) == 0
    await kill.kill(engine, box.id)
    with pytest.raises(NotFound, match=f"No such exec instance: {made[-1]}"):
        execs.get(engine, made[-1])
    assert execs.get(engine, first).exit_code == 0


async def test_top(engine: Engine) -> None:
    # Neither its ps nor anything else of the container's is run for it.
    container = await up(engine, "sh", "-c", "rm /bin/ps; printf '#!/bin/sh\ntouch /ran' > /bin/ps; chmod +x /bin/ps; "
                         "exec sleep 1234")  # fmt: skip
    async with asyncio.timeout(60):
        while top.top(engine, container.id).rows[0][-1] != "sleep 1234":
            await asyncio.sleep(0.02)
    shown = top.top(engine, container.id)
    assert not os.path.exists(f"{engine.live(container).rootfs}/ran")
    assert shown.titles == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    (row,) = shown.rows
    assert (row[0], row[1], row[-1]) == ("root", str(container.state.pid), "sleep 1234")
    assert top.top(engine, container.id, "aux").titles[2:4] == ["%CPU", "%MEM"]
    assert top.top(engine, container.id, "-o pid,comm=NAME").titles == ["PID", "NAME"]
    with pytest.raises(InvalidArgument, match='unknown user-defined format specifier "foo"'):
        top.top(engine, container.id, "-o foo")
    script = "printf 'l\\366we' > /proc/$$/comm; echo ready; read line; sleep 1"
    odd = await up_and_ready(engine, script, open_stdin=True)
    assert top.top(engine, odd.id, "-o comm").rows == [["l\ufffdwe"]]


async def test_stats(engine: Engine) -> None:
    busy = await up(engine, "sh", "-c", "while :; do :; done", host=HostConfig(memory=64 << 20))
    idle = await make(engine, "true")
    before, now = await stats.sample(engine, busy.id, one_shot=False)
    assert before is not None and before.cgroup is not None and now.cgroup is not None
    assert now.cgroup.cpu_total > before.cgroup.cpu_total
    assert now.system_cpu_ns > before.system_cpu_ns
    assert (now.cgroup.memory_limit, now.cgroup.pids_current) == (64 << 20, 1)
    assert "eth0" in now.links
    assert (await stats.sample(engine, idle.id))[1].cgroup is None


async def test_update(engine: Engine) -> None:
    container = await up(engine, "sleep", "1000", host=HostConfig(network_mode="none", memory=64 << 20))
    request = update.UpdateRequest(
        memory=128 << 20, memory_swap=256 << 20, cpu_shares=512, cpuset_cpus="0", pids_limit=50, nano_cpus=500_000_000
    )
    assert await update.update(engine, container.id, request) == []
    figures = Cgroup(container.cgroup).stat()
    assert (figures.memory_limit, figures.pids_limit) == (128 << 20, 50)
    assert (container.host_config.memory, container.host_config.cpu_shares) == (128 << 20, 512)
    for refused, text in (
        (update.UpdateRequest(memory=1000), "Minimum memory limit allowed is 6MB"),
        (update.UpdateRequest(memory=512 << 20), "Memory limit should be smaller than already set memoryswap limit"),
        (update.UpdateRequest(cpuset_cpus="999"), "Requested CPUs are not available - requested 999"),
    ):
        with pytest.raises(SampanError, match=text):
            await update.update(engine, container.id, refused)
    assert container.host_config.memory == 128 << 20


async def test_out_of_memory_is_told(engine: Engine) -> None:
    host = HostConfig(network_mode="none", memory=16 << 20, memory_swap=16 << 20)
    ran = await run(engine, "sh", "-c", "dd if=/dev/zero of=/dev/null bs=200M", host=host)
    (container,) = engine.containers
    assert (ran.status, container.state.oom_killed) == (137, True)
    assert "oom" in [
        event.action for event in chain.from_iterable(engine.events.history(0, 1 << 62)) if event.actor == container.id
    ]


async def test_resize(engine: Engine) -> None:
    container = await up(engine, "sleep", "1000", tty=True)
    await resize.resize(engine, container.id, 33, 77)
    assert (await execute(engine, container, "stty", "-F", "/proc/1/fd/0", "size"))[1] == b"33 77\n"


async def test_logs(engine: Engine) -> None:
    container = await up(engine, "sh", "-c", "for i in 1 2 3; do echo $i; done; read x; echo end", open_stdin=True)

    async def read(request: LogsRequest) -> list[bytes]:
        raw = b"".join([piece async for piece in logs(engine, container.id, request)])
        lines = []
        while raw:
            size = int.from_bytes(raw[4:8], "big")
            lines.append(raw[8 : 8 + size])
            raw = raw[8 + size :]
        return lines

    following = asyncio.ensure_future(read(LogsRequest(follow=True)))
    while await read(LogsRequest(tail=1)) != [b"3\n"]:
        await asyncio.sleep(0.01)  # the program writes when it likes
    assert await read(LogsRequest()) == [b"1\n", b"2\n", b"3\n"]
    (stamped,) = await read(LogsRequest(tail=1, timestamps=True))
    assert len(stamped) == len("2026-11-29T18:30:30.123456789Z 3\n")
    await kill.kill(engine, container.id)
    assert await asyncio.wait_for(following, 10) == [b"1\n", b"2\n", b"3\n"]
    with pytest.raises(InvalidArgument, match="you must choose at least one stream"):
        logs(engine, container.id, LogsRequest(stdout=False, stderr=False))
