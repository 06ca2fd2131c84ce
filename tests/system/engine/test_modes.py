"""Namespaces that are another's while the network is the container's own; external runtimes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sampan.engine import kill, start
from sampan.engine.config import Runtime
from sampan.engine.engine import Engine
from sampan.errors import InvalidArgument, SampanError
from sampan.model.container import DeviceRequest, HostConfig, PortBinding

from ...support import engine as support
from ...support.engine import make, opened, run, up


@pytest.mark.parametrize(
    "host",
    [
        HostConfig(pid_mode="host"),
        HostConfig(uts_mode="host"),
        HostConfig(ipc_mode="host"),
        HostConfig(pid_mode="container:other"),
        HostConfig(ipc_mode="container:other", port_bindings={"80/tcp": [PortBinding()]}),
        HostConfig(cgroupns_mode="private"),
        HostConfig(privileged=True),
    ],
    ids=str,
)
async def test_own_network_with_others_namespaces(engine: Engine, host: HostConfig) -> None:
    await up(engine, "sleep", "1000", name="other", host=HostConfig(network_mode="none", ipc_mode="shareable"))
    ran = await run(engine, "sh", "-c", "ip -o -4 addr show eth0; cat /etc/hosts", host=host)
    assert ran.status == 0, ran
    address = ran.out.decode().split("inet ")[1].split("/")[0]
    assert f"{address}\t" in ran.out.decode()


@pytest.mark.skipif(shutil.which("runc") is None, reason="no runc here")
async def test_an_external_runtime(directory: Path) -> None:
    runtimes = {"other": Runtime(str(shutil.which("runc")))}
    async with opened(directory, runtimes=runtimes) as engine:
        host = HostConfig(runtime="other")
        ran = await run(engine, "sh", "-c", "ip -o -4 addr show eth0; echo err >&2; exit 4", host=host)
        assert (ran.status, ran.err) == (4, b"err\n"), ran
        assert b"inet 172." in ran.out
        container = await up(engine, "sleep", "1000", host=host)
        await kill.kill(engine, container.id)
        assert container.state.exit_code == 137
        await start.start(engine, container.id)
        with pytest.raises(InvalidArgument, match="unknown or invalid runtime name: nosuch"):
            await make(engine, "true", host=HostConfig(runtime="nosuch"))
        await support.clear(engine)


async def test_devices_that_no_driver_serves(engine: Engine) -> None:
    host = HostConfig(network_mode="none", device_requests=[DeviceRequest(count=-1, capabilities=[["gpu"]])])
    container = await make(engine, "true", host=host)
    with pytest.raises(SampanError, match=r'could not select device driver "" with capabilities: \[\[gpu\]\]'):
        await start.start(engine, container.id)
