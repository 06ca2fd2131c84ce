"""A volume whose driver does not answer keeps its own container waiting, and nobody else."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Iterator
from pathlib import Path

import pytest

from sampan.engine import create, listing, remove, start, stop, volumes
from sampan.engine.engine import Engine
from sampan.errors import SampanError, Unavailable
from sampan.linux.mount import MNT_DETACH, mount, umount2
from sampan.model.container import CreateRequest, HostConfig, Mount
from sampan.volume import Plugins, plugins

from ...support import engine as support
from ...support import slowplugin
from ...support.slowplugin import SlowPlugin

_FORCE = 1
"""MNT_FORCE of umount2(2): requests under way fail."""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[SlowPlugin]:
    with slowplugin.running(tmp_path) as server:
        yield server


async def _goes_on_meanwhile(engine: Engine, plugin: SlowPlugin, method: str, work: Awaitable[object]) -> None:
    """While the plugin holds a call of `work`: lists, and a whole life of a container."""
    with plugin.holding(method):
        waiting = asyncio.ensure_future(work)
        assert await asyncio.to_thread(plugin.asked.wait, 60), method
        assert [volume.name for volume in engine.volumes.list() if volume.driver == "slow"] in ([], ["late"])
        before = len(listing.list_containers(engine, {}, all_containers=True))
        ran = await support.run(engine, "echo", "meanwhile", host=HostConfig(network_mode="none", binds=["quick:/q"]))
        assert (ran.status, ran.out) == (0, b"meanwhile\n")
        assert len(listing.list_containers(engine, {}, all_containers=True)) == before + 1
        assert not waiting.done(), method
    await waiting


async def test_the_engine_goes_on_while_a_plugin_does_not_answer(
    engine: Engine, plugin: SlowPlugin, tmp_path: Path
) -> None:
    engine.volumes.plugins = Plugins([str(tmp_path)], [])
    async with asyncio.timeout(180):
        await _goes_on_meanwhile(engine, plugin, "Create", volumes.create(engine, "late", "slow", None, None))
        await _goes_on_meanwhile(engine, plugin, "Get", volumes.inspect(engine, "late"))
        host = HostConfig(network_mode="none", binds=["late:/d:nocopy"])
        request = CreateRequest(image="busybox", cmd=["sleep", "100"], host_config=host)
        made = await create.create(engine, None, request, None)
        await _goes_on_meanwhile(engine, plugin, "Mount", start.start(engine, made.id))
        assert engine.containers.get(made.id).running
        await _goes_on_meanwhile(engine, plugin, "Unmount", stop.stop(engine, made.id, None, 0))
        await remove.remove(engine, made.id, force=True)
        await _goes_on_meanwhile(engine, plugin, "Remove", volumes.remove(engine, "late"))
    assert not engine.volumes.exists("late")


@pytest.fixture
def away(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """A directory on a file system whose server answers nothing, and the fd that ends it (fuse(4))."""
    place = tmp_path / "away"
    place.mkdir()
    server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    mount("away", str(place), "fuse", 0, f"fd={server},rootmode=40000,user_id=0,group_id=0")
    forced = threading.Timer(60, lambda: umount2(str(place), _FORCE | MNT_DETACH))  # or a failure here waits for ever
    forced.start()
    yield place, server
    forced.cancel()
    if str(place) in Path("/proc/self/mountinfo").read_text():  # ismount would ask the server, which is gone
        umount2(str(place), MNT_DETACH)


@pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="there is no /dev/fuse")
@pytest.mark.parametrize("kind", ["mount", "bind"])
async def test_a_bind_from_a_server_that_is_away(engine: Engine, away: tuple[Path, int], kind: str) -> None:
    place, server = away
    source = f"{place}/data"
    host = HostConfig(network_mode="none", binds=[f"{source}:/d"])
    if kind == "mount":
        host = HostConfig(network_mode="none", mounts=[Mount(type="bind", source=source, target="/d")])
    waiting = asyncio.ensure_future(support.up(engine, "true", host=host))
    async with asyncio.timeout(120):
        while (await asyncio.wait({waiting}, timeout=0.05))[1] and not _waits_for_fuse():
            pass
        ran = await support.run(engine, "echo", "meanwhile")
        assert (ran.out, waiting.done()) == (b"meanwhile\n", False)
        os.close(server)
        with pytest.raises(SampanError):  # nothing is there
            await waiting


def _waits_for_fuse() -> bool:
    """Whether a thread of ours sleeps in a request to a FUSE server, by the kernel function that it waits in."""
    waits = [(task / "wchan").read_text() for task in Path("/proc/self/task").iterdir()]
    return any("fuse" in one or "request_wait" in one for one in waits)


async def test_a_restart_of_the_engine_asks_no_plugin(directory: Path, tmp_path: Path) -> None:
    with slowplugin.running(tmp_path) as plugin:
        host = HostConfig(network_mode="none", binds=["late:/d:nocopy"])
        async with support.opened(directory) as engine:
            engine.volumes.plugins = Plugins([str(tmp_path)], [])
            await engine.volumes.create("late", "slow")
            box = await support.up(engine, "sleep", "100", host=host)
        plugin.calls.clear()
        with plugin.holding("Mount"):
            async with asyncio.timeout(60), support.opened(directory) as engine:
                engine.volumes.plugins = Plugins([str(tmp_path)], [])
                assert engine.containers.get(box.id).running
                assert engine.volumes.get("late").mountpoint == str(tmp_path)
                assert plugin.calls == []
                await remove.remove(engine, box.id, force=True)
                assert "Unmount" in plugin.calls  # of the mount that was made before


async def test_limits_of_the_wait_are_dockers(
    plugin: SlowPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = plugins.SECONDS
    assert (known["VolumeDriver.Create"], known["VolumeDriver.Mount"], plugins.OTHERS) == (120, 120, 60)
    found = Plugins([str(tmp_path)], []).get("slow")
    monkeypatch.setitem(known, "VolumeDriver.Mount", 0.1)
    with plugin.holding("Mount"), pytest.raises(Unavailable, match=r"^VolumeDriver.Mount: plugin slow: timed out$"):
        await asyncio.to_thread(found.mount, "late", {}, "box")
