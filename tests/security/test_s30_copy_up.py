"""S30: a volume takes an image's content once, only when it is empty, and completely or not at all."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sampan import faults
from sampan.engine.engine import Engine
from tests.support import rest
from tests.support.tars import Member, directory, symlink, tar


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with rest.engine(tmp_path) as made:
        evil = (directory("data"), Member("data/planted", b"evil", mode=0o4755), symlink("escape", "/../../../../etc"))
        await rest.add_image(made, "evil", tar(*evil))
        yield made


def data(engine: Engine, name: str) -> Path:
    return Path(engine.volumes.get(name).mountpoint)


async def test_s30_never_twice_and_never_over_data(engine: Engine) -> None:
    await engine.volumes.create("full")
    (data(engine, "full") / "mine").touch()
    await rest.container(engine, "one", "evil", binds=["full:/data"])
    assert os.listdir(data(engine, "full")) == ["mine"]
    await rest.container(engine, "two", binds=["vol:/data"])
    (data(engine, "vol") / "seed").unlink()
    await rest.container(engine, "three", "evil", binds=["vol:/data"])
    assert os.listdir(data(engine, "vol")) == []


async def test_s30_a_link_in_the_image_stays_in_the_image(engine: Engine) -> None:
    await rest.container(engine, "one", "evil", binds=["vol:/escape"])
    assert "passwd" not in os.listdir(data(engine, "vol"))


async def test_s30_a_copy_that_fails_leaves_the_volume_empty(engine: Engine) -> None:
    faults.arm("volume.copy-up.copied=ENOSPC")
    try:
        with pytest.raises(OSError):
            await rest.container(engine, "one", binds=["vol:/data"])
    finally:
        faults.arm("")
    assert engine.containers.named("one") is None
    assert os.listdir(data(engine, "vol")) == []
    await rest.container(engine, "one", binds=["vol:/data"])
    assert os.listdir(data(engine, "vol")) == ["seed"]
