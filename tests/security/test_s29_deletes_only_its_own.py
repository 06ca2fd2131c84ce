"""S29: removing a container deletes nothing but what carries its id below the engine's roots."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.engine import removal, remove, start
from sampan.errors import SampanError
from sampan.linux.mount import MNT_DETACH, MS_BIND, mount, umount2

from ..support import engine as support


@pytest.fixture
def directory() -> Iterator[Path]:
    with support.own_network():
        path = support.new_directory()
        yield path
        support.discard(path)


async def test_s29_removal_stops_at_links_and_mounts(directory: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "kept").write_text("kept")
    async with support.opened(directory) as engine:
        linked = await support.make(engine, "true")
        os.rename(engine.paths.container(linked.id), f"{directory}/moved")
        os.symlink(canary, engine.paths.container(linked.id))
        await remove.remove(engine, linked.id)
        assert (canary / "kept").read_text() == "kept"
        mounted = await support.make(engine, "true")
        target = engine.paths.container(mounted.id)
        mount(str(canary), target, None, MS_BIND, None)
        try:
            await remove.remove(engine, mounted.id)
            assert (canary / "kept").read_text() == "kept"
        finally:
            umount2(target, MNT_DETACH)
        for name in ("", "/", "..", "../containers", "a" * 63, "/" + "a" * 63, "." * 64):
            with pytest.raises(SampanError, match="not a container id"):
                removal.remove_directory(engine, name)


async def test_s29_bind_mounts_and_volumes_survive_their_container(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    async with support.opened(directory) as engine:
        host = support.HostConfig(network_mode="none", binds=[f"{tmp_path}:/data", "named:/named"])
        container = await support.make(engine, "sleep", "1000", host=host)
        await start.start(engine, container.id)
        await remove.remove(engine, container.id, force=True, volumes=True)
        assert (tmp_path / "kept").read_text() == "kept"
        assert engine.volumes.get("named").name == "named"
