"""Containers through zygote and shim, without an engine."""

from __future__ import annotations

from tests.support.shimhost import ShimHost


async def test_a_container_runs_and_its_exit_is_reported(host: ShimHost) -> None:
    shim = await host.create(["sh", "-c", "echo out; echo err >&2; exit 7"])
    stream = await host.attach(shim)
    await shim.start()
    assert await stream.demux() == {1: b"out\n", 2: b"err\n"}
    exited = await host.exit(shim)
    assert (exited.status, exited.oom_killed) == (7, False)
    assert 0 < exited.started_at < exited.finished_at
