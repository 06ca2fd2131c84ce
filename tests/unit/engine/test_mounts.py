"""What a container's mounts are planned and activated as."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support import rest

from sampan.engine import mounts
from sampan.engine.engine import Engine
from sampan.errors import Conflict, InvalidArgument, NotFound
from sampan.model.container import BindOptions, ImageOptions, Mount, TmpfsOptions, VolumeOptions


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with rest.engine(tmp_path) as made:
        yield made


async def test_every_form_of_mount_as_docker_shows_it(engine: Engine, tmp_path: Path) -> None:
    box = await rest.container(
        engine,
        binds=["vol:/vol:ro", f"{tmp_path}:/bind:rprivate", "/anonymous"],
        tmpfs={"/tmp/fs": "size=1m"},
        mounts=[
            Mount(type="volume", source="named", target="/named", volume_options=VolumeOptions(labels={"a": "b"})),
            Mount(type="tmpfs", target="/ram", tmpfs_options=TmpfsOptions(size_bytes=4096)),
            Mount(type="image", source="base", target="/img", image_options=ImageOptions(subpath="data")),
            Mount(type="bind", source=str(tmp_path), target="/bind/below", read_only=True),
        ],
        config_volumes={"/more": {}},
    )
    shown = {
        p.destination: (p.type, p.name if p.type == "volume" else "", p.mode, p.rw, p.propagation) for p in box.mounts
    }
    anonymous = {p.destination: p.name for p in box.mounts if p.anonymous}
    assert shown == {
        "/vol": ("volume", "vol", "ro", False, ""),
        "/bind": ("bind", "", "rprivate", True, "rprivate"),
        "/anonymous": ("volume", anonymous["/anonymous"], "z", True, ""),
        "/named": ("volume", "named", "z", True, ""),
        "/ram": ("tmpfs", "", "", True, ""),
        "/img": ("image", "", "", False, "rprivate"),
        "/bind/below": ("bind", "", "", False, "rprivate"),
        "/more": ("volume", anonymous["/more"], "", True, ""),
    }
    assert engine.volumes.get("named").labels == {"a": "b"}
    engine.snapshots.mount(box.id)
    made = await mounts.activate(engine, box)
    try:
        order = [one.destination for one in made]
        assert order.index("/bind") < order.index("/bind/below") and "/tmp/fs" in order
        sources = {one.destination: one.source for one in made}
        assert Path(sources["/img"], "seed").read_bytes() == b"seed"
        options = {one.destination: one.options for one in made}
        assert options["/vol"] == ("rbind", "ro") and options["/bind/below"] == ("rbind", "rro", "rprivate")
        assert options["/tmp/fs"] == ("noexec", "nosuid", "nodev", "size=1m")
    finally:
        await mounts.release(engine, box)
        engine.snapshots.unmount(box.id)
    assert not Path(sources["/img"]).exists()


async def test_duplicates_are_refused(engine: Engine) -> None:
    for host in (
        {"binds": ["a1:/d", "b1:/d/"]},
        {"binds": ["a1:/d"], "tmpfs": {"/d": ""}},
        {"binds": ["a1:/d"], "mounts": [Mount(type="tmpfs", target="/d")]},
    ):
        with pytest.raises(InvalidArgument, match=r"^Duplicate mount point: /d$"):
            await rest.container(engine, **host)  # type: ignore[arg-type]
    assert not engine.volumes.exists("a1")


async def test_a_missing_bind_source_is_made_for_v_and_refused_for_mount(engine: Engine, tmp_path: Path) -> None:
    box = await rest.container(engine, binds=[f"{tmp_path}/new:/data"])
    assert not (tmp_path / "new").exists()
    await mounts.activate(engine, box)
    assert (tmp_path / "new").is_dir()
    await mounts.release(engine, box)
    with pytest.raises(InvalidArgument, match="bind source path does not exist"):
        await rest.container(engine, "two", mounts=[Mount(type="bind", source=f"{tmp_path}/q", target="/d")])
    asked = Mount(type="bind", source=f"{tmp_path}/q", target="/d", bind_options=BindOptions(create_mountpoint=True))
    three = await rest.container(engine, "three", mounts=[asked])
    await mounts.activate(engine, three)
    assert (tmp_path / "q").is_dir()
    await mounts.release(engine, three)


async def test_volumes_from_shares_and_narrows(engine: Engine) -> None:
    one = await rest.container(engine, "one", binds=["vol:/vol"], config_volumes={"/data": {}})
    two = await rest.container(engine, "two", volumes_from=["one:ro"])
    assert [(p.destination, p.name) for p in two.mounts] == [(p.destination, p.name) for p in one.mounts]
    assert not any(p.rw for p in two.mounts)
    with pytest.raises(InvalidArgument, match="No such container: nobody"):
        await rest.container(engine, "three", volumes_from=["nobody"])
    engine.containers.forget(one)
    await mounts.remove(engine, one, volumes=True)
    assert all(engine.volumes.exists(p.name) for p in two.mounts)  # two still has them
    engine.containers.forget(two)
    await mounts.remove(engine, two, volumes=True)
    assert [volume.name for volume in engine.volumes.list()] == ["vol"]


async def test_a_volume_takes_the_image_s_content_at_create_once(engine: Engine) -> None:
    box = await rest.container(engine, binds=["vol:/data", "other:/data2"], config_volumes={"/link": {}})
    path = Path(engine.volumes.get("vol").mountpoint)
    assert (path / "seed").read_bytes() == b"seed"
    assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o7777) == (7, 8, 0o750)
    linked = next(p.source for p in box.mounts if p.destination == "/link")
    assert os.listdir(linked) == ["seed"]  # the link is followed inside the image
    assert os.listdir(engine.volumes.get("other").mountpoint) == []
    (path / "seed").unlink()
    await rest.container(engine, "again", binds=["vol:/data"])
    assert os.listdir(path) == []  # S30: once in the volume's life
    await rest.container(engine, "late", binds=["other:/data"])
    assert os.listdir(engine.volumes.get("other").mountpoint) == ["seed"]
    await rest.container(engine, "never", binds=["plain:/data:nocopy"])
    assert os.listdir(engine.volumes.get("plain").mountpoint) == []


async def test_a_volume_in_use_cannot_go(engine: Engine) -> None:
    box = await rest.container(engine, binds=["vol:/data"])
    with pytest.raises(Conflict) as caught:
        await engine.volumes.remove("vol", force=True)
    assert str(caught.value) == f"remove vol: volume is in use - [{box.id}]"


async def test_a_subpath_cannot_lead_out_of_its_volume(engine: Engine) -> None:
    point = Mount(type="volume", source="vol", target="/sub", volume_options=VolumeOptions(subpath="a/b", no_copy=True))
    box = await rest.container(engine, mounts=[point])
    data = Path(engine.volumes.get("vol").mountpoint)
    with pytest.raises(NotFound):
        await mounts.activate(engine, box)
    (data / "a").symlink_to("/etc")
    with pytest.raises(NotFound):
        await mounts.activate(engine, box)
    (data / "a").unlink()
    (data / "a/b").mkdir(parents=True)
    (data / "a/b/file").touch()
    source = (await mounts.activate(engine, box))[0].source
    assert os.listdir(source) == ["file"]
    await mounts.release(engine, box)
    await mounts.release(engine, box)
