"""External OCI runtimes under the shim: Debian's runc and crun."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from sampan.linux.cgroup import Cgroup
from sampan.runtime import CommandFailed, ShimGone
from tests.support.shimhost import ShimHost, make_rootfs, spec


@cache
def works(runtime: str) -> bool:
    """Whether a runtime can run anything on this kernel at all."""
    import json
    import tempfile

    path = shutil.which(runtime)
    if path is None:
        return False
    with tempfile.TemporaryDirectory() as directory:
        make_rootfs(Path(directory) / "rootfs")
        document = spec(["true"])
        document["linux"]["cgroupsPath"] = f"/sampan-shimtest-probe-{os.getpid()}"
        (Path(directory) / "config.json").write_text(json.dumps(document))
        command = [path, "--root", f"{directory}/state", "run", "--bundle", directory, f"probe-{os.getpid()}"]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=30, check=False)
    return done.returncode == 0


@pytest.fixture(params=["runc", "crun"])
def runtime(request: pytest.FixtureRequest) -> Iterator[str]:
    if not works(request.param):
        pytest.skip(f"{request.param} cannot run a container here")
    path = shutil.which(request.param)
    assert path is not None
    yield path


def document(host: ShimHost, args: list[str], tty: bool = False) -> dict[str, object]:
    made = spec(args, tty=tty)
    made["root"]["path"] = str(host.root / "rootfs")  # runc wants no symlink
    made["linux"]["cgroupsPath"] = f"{host.cgroup_parent}/external"
    return made


async def create(host: ShimHost, runtime: str, args: list[str], tty: bool = False, **options: object):  # type: ignore[no-untyped-def]
    import json

    shim = await host.spawn()
    described = document(host, args, tty)
    (host.bundle(shim.container_id) / "config.json").write_text(json.dumps(described))
    await host.create_in(shim, args, document=described, runtime=[runtime], tty=tty, **options)  # type: ignore[arg-type]
    return shim


async def test_run_exec_and_signal(host: ShimHost, runtime: str) -> None:
    shim = await create(host, runtime, ["sh", "-c", "echo out; echo err >&2; read x; exit 7"], open_stdin=True)
    stream = await host.attach(shim)
    await shim.start()
    await stream.until(b"err")
    execed = await host.exec(shim, ["sh", "-c", "cat; exit 3"])
    await execed.send(b"to the exec")
    execed.end_input()
    assert (await execed.demux())[1] == b"to the exec"
    exited = await anext(aiter(shim.exits))
    assert (exited.exec_id, exited.status) == ("e", 3)
    for number in range(5):  # these end before the runtime does
        await host.exec(shim, ["false"], f"fast{number}")
        exited = await asyncio.wait_for(anext(aiter(shim.exits)), 20)
        assert (exited.exec_id, exited.status) == (f"fast{number}", 1)
    with pytest.raises(CommandFailed) as caught:
        await host.exec(shim, ["nope"], "f")
    assert caught.value.exit_code == 127
    await stream.send(b"\n")
    assert (await host.exit(shim)).status == 7
    await shim.close()
    assert not os.path.exists(f"{host.exec_root}/runtime/{shim.container_id}")


async def test_a_terminal(host: ShimHost, runtime: str) -> None:
    shim = await create(
        host, runtime, ["sh", "-c", "read x; stty size; tty"], tty=True, open_stdin=True, console_size=(30, 90)
    )
    stream = await host.attach(shim)
    await shim.start()
    await shim.resize(None, 40, 100)
    term = await host.exec(shim, ["sh", "-c", "tty; exit 4"], "term", tty=True)
    assert b"/dev/pts/" in await term.read()
    await stream.send(b"\n")
    output = await stream.read()
    assert b"40 100" in output and b"/dev/" in output
    assert (await host.exit(shim)).status == 0


async def test_a_missing_program_and_a_killed_shim(host: ShimHost, runtime: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        shim = await create(host, runtime, ["nope"])
        await shim.start()
    assert caught.value.exit_code == 127
    shim = await create(host, runtime, ["sleep", "1000"])
    await shim.start()
    os.kill(shim.pid, signal.SIGKILL)
    assert [exited async for exited in shim.exits] == []
    assert not os.path.exists(f"{host.exec_root}/runtime/{shim.container_id}")
    assert not Cgroup(f"{host.cgroup_parent}/external").exists()


async def test_a_daemon_that_dies_while_the_runtime_creates(host: ShimHost, runtime: str) -> None:
    creating = asyncio.create_task(create(host, runtime, ["sleep", "1000"]))
    while not host.shims or not os.path.exists(f"{host.exec_root}/runtime/{host.shims[0].container_id}"):
        await asyncio.sleep(0.002)
    (shim,) = host.shims
    pidfd = os.pidfd_open(shim.pid)
    shim.disconnect()
    with pytest.raises(ShimGone):
        await creating
    await asyncio.to_thread(lambda: select.select([pidfd], [], [], 20))
    os.close(pidfd)
    assert not os.path.exists(f"{host.exec_root}/runtime/{shim.container_id}")
    assert not Cgroup(f"{host.cgroup_parent}/external").exists()
