"""The container's log as the shim writes it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from sampan import errors
from sampan.logs import readers
from sampan.runtime import Shim
from tests.support.shimhost import ShimHost


async def lines(
    host: ShimHost, shim: Shim, driver: str, follow: asyncio.Event | None = None, tail: int = -1
) -> list[bytes]:
    bundle = str(host.bundle(shim.container_id))
    source = readers.read(driver, {}, bundle, shim.container_id, follow=follow, tail=tail)
    return [entry.data async for entry in source]


@pytest.mark.parametrize("driver", ["json-file", "local"])
async def test_a_follower_sees_all_lines_of_a_container_over_rotations(host: ShimHost, driver: str) -> None:
    config = {"max-size": "200k", "max-file": "3", "compress": "true"}
    stopped = asyncio.Event()
    shim = await host.create(["sh", "-c", "seq 1 60000"], log=driver, log_config=config)
    following = asyncio.create_task(lines(host, shim, driver, stopped))
    stream = await host.attach(shim)
    await shim.start()
    assert (await stream.demux())[1] == b"".join(b"%d\n" % number for number in range(1, 60001))
    assert (await host.exit(shim)).status == 0
    stopped.set()
    got = await asyncio.wait_for(following, 20)
    assert got == sorted(got, key=int) and got[-1] == b"60000\n"
    kept = await lines(host, shim, driver)
    assert 0 < len(kept) < 60000 and kept[-1] == b"60000\n"
    assert await lines(host, shim, driver, tail=3) == [b"59998\n", b"59999\n", b"60000\n"]


async def test_a_slow_service_gets_every_line_before_the_exit_is_reported(host: ShimHost) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)
        config = {"syslog-address": f"tcp://127.0.0.1:{server.getsockname()[1]}"}
        shim = await host.create(["sh", "-c", "seq 100001 300000"], log="syslog", log_config=config)
        peer, _ = server.accept()
        with peer:
            peer.setblocking(False)
            await shim.start()
            loop = asyncio.get_running_loop()
            first = await loop.sock_recv(peer, 100)
            with pytest.raises(asyncio.TimeoutError):  # blocking mode: the container waits for the service
                await asyncio.wait_for(anext(aiter(shim.exits)), 0.5)
            parts = [first]
            while data := await asyncio.wait_for(loop.sock_recv(peer, 1 << 20), 20):
                parts.append(data)
    got = b"".join(parts).splitlines()
    assert len(got) == 200_000
    assert got[0].endswith(b": 100001") and got[-1].endswith(b": 300000")
    assert (await shim.status()).exit is not None
    assert len(await lines(host, shim, "syslog")) == 200_000


async def test_a_service_that_is_away_keeps_the_container_from_being_created(host: ShimHost) -> None:
    with pytest.raises(errors.Unavailable, match="failed to initialize logging driver: dial tcp 127"):
        await host.create(["true"], log="fluentd", log_config={"fluentd-address": "127.0.0.1:1"})
