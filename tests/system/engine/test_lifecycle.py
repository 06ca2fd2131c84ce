"""Containers from create to removal, on the real kernel."""

from __future__ import annotations

import asyncio
import os
from itertools import chain
from pathlib import Path

import pytest

from sampan.api import shown
from sampan.engine import attach, kill, pause, remove, rename, restart, start, stop, wait
from sampan.engine.engine import Engine
from sampan.errors import Conflict, InvalidArgument, NotFound, NotModified, SampanError
from sampan.model.container import HostConfig
from sampan.runtime import CommandFailed

from ...support.engine import make, run, talk, up, up_and_ready


def actions(engine: Engine, container_id: str) -> list[str]:
    return [
        event.action for event in chain.from_iterable(engine.events.history(0, 1 << 62)) if event.actor == container_id
    ]


async def test_output_status_and_state(engine: Engine) -> None:
    ran = await run(engine, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (ran.status, ran.out, ran.err) == (7, b"out\n", b"err\n")
    (container,) = engine.containers
    state = container.state
    assert (state.status, state.exit_code, state.pid, state.oom_killed) == ("exited", 7, 0, False)
    assert state.started_at < state.finished_at
    assert actions(engine, container.id) == ["create", "attach", "start", "die"]


async def test_stdin_reaches_the_program_and_ends(engine: Engine) -> None:
    sent = os.urandom(3 << 20)
    ran = await run(engine, "cat", stdin=sent)
    assert (ran.status, ran.out == sent) == (0, True)


@pytest.mark.parametrize(
    ("command", "code", "text"),
    [
        (["nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'),
        (["/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
    ],
)
async def test_a_command_that_cannot_run(engine: Engine, command: list[str], code: int, text: str) -> None:
    container = await make(engine, *command)
    with pytest.raises(CommandFailed) as failure:
        await start.start(engine, container.id)
    prefix = "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    prefix += "runc create failed: unable to start container process: error during container init: "
    assert str(failure.value) == prefix + text
    state = container.state
    assert (state.status, state.exit_code, state.error) == ("created", code, str(failure.value))
    assert not os.path.ismount(f"{engine.snapshots.path(engine.snapshots.stat(container.id))}/merged")  # type: ignore[attr-defined]


async def test_unknown_user(engine: Engine) -> None:
    container = await make(engine, "true", user="nosuch")
    with pytest.raises(SampanError, match="unable to find user nosuch: no matching entries in passwd file"):
        await start.start(engine, container.id)
    assert (container.state.status, container.state.exit_code) == ("created", 128)


async def test_auto_remove_and_removed_wait(engine: Engine) -> None:
    container = await make(engine, "sh", "-c", "exit 3", host=HostConfig(network_mode="none", auto_remove=True))
    ticket = wait.wait(engine, container.id, "removed")
    await start.start(engine, container.id)
    assert (await ticket.result(20)).status == 3
    assert container.id not in engine.containers
    assert not Path(engine.paths.container(container.id)).exists()
    assert not engine.snapshots.exists(container.id)
    assert actions(engine, container.id)[-2:] == ["die", "destroy"]


async def test_auto_remove_after_a_failed_start(engine: Engine) -> None:
    container = await make(engine, "nosuch", host=HostConfig(network_mode="none", auto_remove=True))
    with pytest.raises(CommandFailed):
        await start.start(engine, container.id)
    assert len(engine.containers) == 0


async def test_stop_sends_the_stop_signal_then_kills(engine: Engine) -> None:
    loop = "echo ready; while :; do sleep 0.05; done"
    polite = await up_and_ready(engine, f"trap 'exit 5' INT; {loop}", stop_signal="SIGINT")
    await stop.stop(engine, polite.id, timeout=10)
    assert polite.state.exit_code == 5
    with pytest.raises(NotModified):
        await stop.stop(engine, polite.id)
    deaf = await up_and_ready(engine, f"trap '' TERM; {loop}")
    await stop.stop(engine, deaf.id, timeout=0)
    assert deaf.state.exit_code == 137
    assert actions(engine, deaf.id)[-4:] == ["kill", "kill", "die", "stop"]


async def test_kill(engine: Engine) -> None:
    container = await up(engine, "sleep", "1000", name="to-kill")
    with pytest.raises(InvalidArgument, match="cannot kill container: to-kill: invalid signal: FOO"):
        await kill.kill(engine, "to-kill", "FOO")
    await kill.kill(engine, "to-kill", "KILL")
    assert (container.state.status, container.state.exit_code) == ("exited", 137)
    with pytest.raises(Conflict, match=f"cannot kill container: to-kill: container {container.id} is not running"):
        await kill.kill(engine, "to-kill")


async def test_pause(engine: Engine) -> None:
    container = await up(engine, "sleep", "1000")
    with pytest.raises(Conflict, match=f"Container {container.id} is not paused"):
        await pause.unpause(engine, container.id)
    await pause.pause(engine, container.id)
    with pytest.raises(Conflict, match=f"Container {container.id} is already paused"):
        await pause.pause(engine, container.id)
    with pytest.raises(Conflict, match="cannot start a paused container"):
        await start.start(engine, container.id)
    with pytest.raises(Conflict, match="container is paused and must be unpaused first"):
        await remove.remove(engine, container.id)
    await pause.unpause(engine, container.id)
    assert container.state.status == "running"
    await pause.pause(engine, container.id)
    await remove.remove(engine, container.id, force=True)  # a frozen container can be killed
    assert container.id not in engine.containers


async def test_restart_keeps_auto_remove_containers(engine: Engine) -> None:
    container = await up(engine, "sleep", "1000", host=HostConfig(network_mode="none", auto_remove=True))
    first = container.state.pid
    await restart.restart(engine, container.id, timeout=0)
    assert container.state.status == "running"
    assert container.state.pid != first
    assert actions(engine, container.id)[-4:] == ["die", "stop", "start", "restart"]


async def test_names(engine: Engine) -> None:
    one = await make(engine, "true", name="name-one")
    two = await make(engine, "true")
    assert "_" in two.name
    with pytest.raises(Conflict, match=f'"/name-one" is already in use by container "{one.id}"'):
        await make(engine, "true", name="/name-one")
    with pytest.raises(InvalidArgument, match=r"Invalid container name \(bad name\), only"):
        await make(engine, "true", name="bad name")
    rename.rename(engine, two.id, "name-two")
    assert engine.containers.get("/name-two") is two
    with pytest.raises(Conflict, match=r'Error when allocating new name: Conflict\. The container name "/name-one"'):
        rename.rename(engine, "name-two", "name-one")
    with pytest.raises(InvalidArgument, match="Renaming a container with the same name as its current name"):
        rename.rename(engine, "name-two", "name-two")
    assert engine.containers.get(one.id[:12]) is one
    with pytest.raises(NotFound, match="No such container: nosuch"):
        engine.containers.get("nosuch")


async def test_remove(engine: Engine) -> None:
    container = await up(engine, "sleep", "1000", name="to-remove")
    with pytest.raises(Conflict, match='cannot remove container "to-remove": container is running'):
        await remove.remove(engine, "to-remove")
    waits = [wait.wait(engine, "to-remove", condition) for condition in ("removed", "next-exit", "")]
    both = await asyncio.gather(
        remove.remove(engine, "to-remove", force=True),
        remove.remove(engine, "to-remove", force=True),
        return_exceptions=True,
    )
    assert [type(result) for result in both] == [type(None), Conflict]
    assert [(await ticket.result(5)).status for ticket in waits] == [137, 137, 137]
    with pytest.raises(NotFound):
        wait.wait(engine, container.id)


async def test_wait_conditions(engine: Engine) -> None:
    container = await make(engine, "true")
    assert (await wait.wait(engine, container.id, "not-running").result(1)).status == 0
    with pytest.raises(InvalidArgument, match='invalid condition: "foo"'):
        wait.wait(engine, container.id, "foo")


async def test_many_attachments_and_history(engine: Engine) -> None:
    container = await make(engine, "sh", "-c", "echo one; read line; echo $line", open_stdin=True)
    wanted = attach.AttachRequest(stdin=True, stdout=True)
    before = await attach.attach(engine, container.id, wanted)
    gone = await attach.attach(engine, container.id, wanted)
    gone.close()
    await start.start(engine, container.id)
    during = await attach.attach(engine, container.id, attach.AttachRequest(stdout=True, logs=True))
    assert before.socket is not None
    await asyncio.get_running_loop().sock_sendall(before.socket, b"two\n")
    assert (await talk(before))[0] == b"one\ntwo\n"
    assert (await talk(during))[0].endswith(b"two\n")


async def test_terminal_and_detach_keys(engine: Engine) -> None:
    container = await make(engine, "cat", tty=True, open_stdin=True)
    attachment = await attach.attach(
        engine, container.id, attach.AttachRequest(stdin=True, stdout=True, detach_keys="ctrl-x,y")
    )
    await start.start(engine, container.id)
    assert attachment.tty and attachment.detach is not None and attachment.socket is not None
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(attachment.socket, b"hello\n")
    seen = b""
    while seen.count(b"hello\r\n") < 2:
        seen += await asyncio.wait_for(loop.sock_recv(attachment.socket, 4096), 10)
    assert attachment.detach.feed(b"a\x18y") == (b"a", True)
    attachment.close(detached=True)
    assert container.running
    assert "detach" in actions(engine, container.id)


async def test_shared_namespaces(engine: Engine) -> None:
    target = await up(engine, "sleep", "1000", name="target", host=HostConfig(ipc_mode="shareable"))
    host = HostConfig(network_mode="container:target", pid_mode="container:target", ipc_mode="container:target")
    ran = await run(engine, "sh", "-c", "hostname; ls -d /proc/1; cat /proc/1/cmdline; cat /etc/hosts", host=host)
    assert ran.status == 0, ran
    assert target.config.hostname.encode() in ran.out
    assert b"sleep\x001000\x00" in ran.out
    address = target.networks["bridge"].ip_address
    assert address.encode() in ran.out
    with pytest.raises(InvalidArgument, match="conflicting options: hostname and the network mode"):
        await make(engine, "true", host=HostConfig(network_mode="container:target"), hostname="x")
    await kill.kill(engine, "target")
    other = await make(engine, "true", host=HostConfig(network_mode="container:target"))
    with pytest.raises(Conflict, match=f"cannot join network of a non running container: {target.id}"):
        await start.start(engine, other.id)


async def test_init_reaps_and_forwards(engine: Engine) -> None:
    host = HostConfig(network_mode="none", init=True)
    container = await up_and_ready(engine, "echo ready; exec sleep 1000", host=host)
    await stop.stop(engine, container.id, timeout=10)
    assert container.state.exit_code == 143


async def test_links(engine: Engine) -> None:
    await up(
        engine,
        "sleep",
        "1000",
        name="database",
        host=HostConfig(),
        exposed_ports={"5432/tcp": {}, "abc": {}},
        env=["A=b"],
    )
    ran = await run(engine, "sh", "-c", "env; cat /etc/hosts", host=HostConfig(links=["database:db"]))
    database = engine.containers.get("database")
    assert [port.private_port for port in shown.ports(database)] == [5432, 0]  # an image may expose anything
    address = database.networks["bridge"].ip_address
    assert f"DB_PORT_5432_TCP_ADDR={address}\n".encode() in ran.out
    assert b"DB_ENV_A=b\n" in ran.out
    assert f"{address}\tdb".encode() in ran.out


async def test_links_follow_the_linked_container(engine: Engine) -> None:
    """It comes back with another address: the hosts of who is linked say so, and keep what else was written there."""
    database = await up(engine, "sleep", "1000", name="database", host=HostConfig())
    web = await up(engine, "sleep", "1000", name="web", host=HostConfig(links=["database:db"]))
    before = database.networks["bridge"].ip_address
    hosts = Path(engine.paths.container(web.id), "hosts")
    hosts.write_text(hosts.read_text() + f"{before}\tdb2 mine\n")
    await stop.stop(engine, database.id, timeout=0)
    await up(engine, "sleep", "1000", name="other", host=HostConfig())  # takes the address that is free now
    await start.start(engine, database.id)
    after = database.networks["bridge"].ip_address
    assert after != before
    lines = hosts.read_text().splitlines()
    assert f"{after}\tdb {database.id[:12]} database" in lines
    assert [line for line in lines if line.startswith(f"{before}\t")] == [f"{before}\tdb2 mine"]
    for unreadable in (
        b"127.0.0.1\tl\xf6we\r\n",
        b"#" * (2 << 20),
    ):  # what a container does to its own file is its affair
        hosts.write_bytes(unreadable)
        await restart.restart(engine, "database", timeout=0)
        assert hosts.read_bytes().startswith(unreadable)
    await stop.stop(engine, database.id, timeout=0)
    refusal = "Cannot restart container web: Cannot link to a non running container: /database AS /web/db"
    with pytest.raises(SampanError) as refused:
        await restart.restart(engine, "web", timeout=0)
    assert str(refused.value) == refusal
