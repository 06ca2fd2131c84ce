"""An engine that comes up again, after a clean end and after engine, zygote or shim went down (docs/recovery.md)."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from sampan.engine import cgroups, kill, pause, remove, start, stop, wait
from sampan.engine import exec as execs
from sampan.engine.container import Container
from sampan.engine.engine import Engine
from sampan.engine.logs import LogsRequest, logs
from sampan.linux.cgroup import Cgroup
from sampan.model.container import HostConfig, RestartPolicy
from sampan.network.spec import NetworkSpec
from sampan.oci.reference import parse

from ...support import engine as support
from ...support.engine import make, opened, run, talk, up


def kill_and_wait(pid: int) -> None:
    """SIGKILL and wait until the process is gone; it need not be our child."""
    pidfd = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        assert poll.poll(10_000)
    finally:
        os.close(pidfd)


def policy(name: str, retries: int = 0, **host: object) -> HostConfig:
    return HostConfig(
        network_mode="none",
        restart_policy=RestartPolicy(name=name, maximum_retry_count=retries),
        **host,  # type: ignore[arg-type]
    )


async def settled(engine: Engine, container: Container, status: str) -> None:
    """Wait until a container has a status: told by its events."""
    async with asyncio.timeout(20):
        feed = engine.events.subscribe({"container": [container.id]})
        while container.state.status != status:
            await anext(feed)
            await asyncio.sleep(0)
        feed.close()


async def execute(engine: Engine, container: Container, *cmd: str) -> tuple[int, bytes]:
    exec_id = execs.create(engine, container.id, execs.ExecConfig(cmd=list(cmd), attach_stdout=True))
    attachment = await execs.start(engine, exec_id, execs.ExecStart())
    assert attachment is not None
    out, _ = await talk(attachment)
    return await execs.result(engine, exec_id), out


async def read_logs(engine: Engine, container: Container) -> bytes:
    pieces = [piece async for piece in logs(engine, container.id, LogsRequest())]
    raw, text = b"".join(pieces), b""
    while raw:
        size = int.from_bytes(raw[4:8], "big")
        text += raw[8 : 8 + size]
        raw = raw[8 + size :]
    return text


async def test_containers_outlive_the_engine(directory: Path) -> None:
    async with opened(directory) as engine:
        running = await up(engine, "sleep", "1000", name="running", host=HostConfig())
        address = running.networks["bridge"].ip_address
        frozen = await up(engine, "sleep", "1000", name="frozen")
        await pause.pause(engine, frozen.id)
        await up(engine, "sh", "-c", "read line; echo last words; exit 9", name="ends", open_stdin=True)
        await up(engine, "sleep", "1000", name="gone", host=HostConfig(network_mode="none", auto_remove=True))
        await make(engine, "true", name="fresh")
        ends_pid, gone_pid = (engine.containers.get(name).state.pid for name in ("ends", "gone"))
        pid = running.state.pid
    # Nobody is there while these two end.
    for pid_of_init in (ends_pid, gone_pid):
        kill_and_wait(pid_of_init)
    async with opened(directory) as engine:
        again = engine.containers.get("running")
        assert (again.state.status, again.state.pid) == ("running", pid)
        assert again.networks["bridge"].ip_address == address
        assert (await execute(engine, again, "echo", "hi")) == (0, b"hi\n")
        assert engine.containers.get("frozen").state.status == "paused"
        await pause.unpause(engine, "frozen")
        ended = engine.containers.get("ends")
        assert (ended.state.status, ended.state.exit_code) == ("exited", 137)
        assert engine.containers.get("fresh").state.status == "created"
        assert engine.containers.named("gone") is None
        ticket = wait.wait(engine, "running", "not-running")
        await stop.stop(engine, "running", timeout=0)
        assert (await ticket.result(10)).status == 137
        await start.start(engine, "ends")
        await support.clear(engine)


async def test_a_killed_shim(engine: Engine) -> None:
    container = await up(engine, "sleep", "1000", host=HostConfig())
    again = await up(engine, "sleep", "1000", host=policy("on-failure"))
    shim = engine.live(container).shim
    assert shim is not None
    ticket = wait.wait(engine, container.id, "next-exit")
    init = container.state.pid
    kill_and_wait(shim.pid)
    assert (await ticket.result(10)).status == 137
    assert (container.state.status, container.state.exit_code) == ("exited", 137)
    assert not os.path.exists(f"/proc/{init}/exe")
    assert not container.networks["bridge"].ip_address
    shim = engine.live(again).shim
    assert shim is not None
    kill_and_wait(shim.pid)
    await settled(engine, again, "restarting")
    await settled(engine, again, "running")


async def test_a_killed_shim_whose_control_group_stays(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in D state keeps it: the container has ended all the same, and can be removed."""
    container = await up(engine, "sleep", "1000")

    def busy(_: Cgroup) -> None:
        raise OSError(errno.EBUSY, "busy")

    monkeypatch.setattr(Cgroup, "remove", busy)
    shim = engine.live(container).shim
    assert shim is not None
    ticket = wait.wait(engine, container.id, "next-exit")
    kill_and_wait(shim.pid)
    assert (await ticket.result(10)).status == 137
    assert container.state.status == "exited"
    monkeypatch.undo()
    await cgroups.destroy(engine, container)


async def test_a_shim_killed_while_no_engine_looked(directory: Path) -> None:
    async with opened(directory) as engine:
        container = await up(engine, "sleep", "1000", name="lost")
        restarted = await up(engine, "sleep", "1000", name="back", host=policy("always"))
        shims = [engine.live(one).shim for one in (container, restarted)]
        inits = [one.state.pid for one in (container, restarted)]
    for shim in shims:
        assert shim is not None
        kill_and_wait(shim.pid)
    async with opened(directory) as engine:
        lost = engine.containers.get("lost")
        assert (lost.state.status, lost.state.exit_code) == ("exited", 137)
        assert not any(os.path.exists(f"/proc/{pid}/exe") for pid in inits)
        await settled(engine, engine.containers.get("back"), "running")
        await support.clear(engine)


async def test_a_record_that_nobody_foresaw_keeps_no_other_down(directory: Path) -> None:
    """S31: any error of one container's is a warning."""
    async with opened(directory) as engine:
        odd = await up(engine, "sleep", "1000", name="odd")
        await up(engine, "sleep", "1000", name="sound")
        shim, started = engine.live(odd).shim, odd.state.started_at
        odd.state.started_at = "no time at all"
        engine.containers.save(odd)
    assert shim is not None
    kill_and_wait(shim.pid)
    async with opened(directory) as engine:
        odd = engine.containers.get("odd")
        assert [text for text in engine.warnings if f"{odd.id}: cannot be recovered: ValueError" in text]
        sound = engine.containers.get("sound")
        assert (await execute(engine, sound, "echo", "hi")) == (0, b"hi\n")
        odd.state.started_at = started
        engine.containers.save(odd)
    async with opened(directory) as engine:
        assert engine.containers.get("odd").state.exit_code == 137
        await support.clear(engine)


async def test_the_zygote_is_replaced(engine: Engine) -> None:
    before = await up(engine, "sleep", "1000")
    kill_and_wait(engine.zygote.pid)
    assert (await run(engine, "echo", "hi")).out == b"hi\n"
    assert (await execute(engine, before, "echo", "hi")) == (0, b"hi\n")


async def test_boot_starts_what_policies_want_in_order(directory: Path) -> None:
    async with opened(directory) as engine:
        names = ("always", "unless-stopped", "stopped", "no", "joins")
        for name, host in zip(
            names,
            (policy("always"), policy("unless-stopped"), policy("unless-stopped"), policy("no"), HostConfig()),
            strict=True,
        ):
            if name == "joins":
                host = HostConfig(network_mode="container:always", restart_policy=RestartPolicy(name="always"))
            await up(engine, "sleep", "1000", name=name, host=host)
        await stop.stop(engine, "stopped", timeout=0)
        inits = {name: engine.containers.get(name).state.pid for name in names}
        shims = [engine.live(engine.containers.get(name)).shim for name in names]
    for shim in shims:  # what a power cut leaves: no process, no exit record
        if shim is not None:
            kill_and_wait(shim.pid)
    async with opened(directory) as engine:
        for name in ("always", "unless-stopped", "joins"):
            await settled(engine, engine.containers.get(name), "running")
            assert engine.containers.get(name).state.pid != inits[name]
        assert engine.containers.get("stopped").state.status == "exited"
        assert engine.containers.get("no").state.status == "exited"
        started = [
            event.attributes["name"]
            for event in chain.from_iterable(engine.events.history(0, 1 << 62))
            if event.action == "start"
        ]
        assert started.index("joins", 5) > started.index("always", 5)
        await support.clear(engine)


def _garbage(database: Path) -> None:
    database.write_bytes(b"not a database" * 1000)


def _damage(database: Path) -> None:
    """All pages but the first, where the schema begins."""
    size = database.stat().st_size
    with open(database, "r+b") as file:
        for place in range(8192, size, 4096):
            file.seek(place)
            file.write(b"\xff" * 64)


@pytest.mark.parametrize("lose", [_garbage, _damage, Path.unlink])
async def test_a_lost_database_is_rebuilt(directory: Path, lose: Callable[[Path], None]) -> None:
    async with opened(directory) as engine:
        await run(engine, "sh", "-c", "echo kept; exit 4")
        (ended,) = engine.containers
        running = await up(engine, "sleep", "1000", name="runs")
        ended_id, pid = ended.id, running.state.pid
        await up(engine, "sleep", "1000", name="stopped", host=policy("unless-stopped"), stop_timeout=0)
        await stop.stop(engine, "stopped", None, 0)
        (image,) = engine.images.all()
        engine.images.tag(image.id, parse("other.test/name:1"))
        engine.images.add_digest(image.id, parse("other.test/name"), image.manifest)
        image = engine.images.by_id(image.id)
        network = await engine.networks.create(NetworkSpec(name="kept", labels={"a": "b"}))
        bridge = engine.networks.get("bridge").id
    database = directory / "data" / "sampan.db"
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    lose(database)
    async with opened(directory) as engine:
        assert any("was damaged" in text for text in engine.warnings) == (lose is not Path.unlink), engine.warnings
        assert not [text for text in engine.warnings if "cannot" in text]
        (again,) = engine.images.all()
        assert (again.id, again.layers, again.tags, again.digests) == (
            image.id,
            image.layers,
            image.tags,
            image.digests,
        )
        assert engine.networks.get("kept") == network
        assert engine.networks.get("bridge").id == bridge
        await engine.networks.remove("kept")
        assert (await run(engine, "echo", "from the image")).out == b"from the image\n"
        ended = engine.containers.get(ended_id)
        assert (ended.state.status, ended.state.exit_code) == ("exited", 4)
        assert await read_logs(engine, ended) == b"kept\n"
        assert (engine.containers.get("runs").state.status, engine.containers.get("runs").state.pid) == ("running", pid)
        stopped = engine.containers.get("stopped").state  # unless-stopped, and it was
        assert (stopped.status, stopped.stopped_by_user) == ("exited", True)
        await kill.kill(engine, "runs")
        await start.start(engine, ended_id)
        await remove.remove(engine, ended_id, force=True)
        await support.clear(engine)
