"""Changing a container by an atomic re-create, with roll-back."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.engine import commit, images, kill, networks, recreate, wait
from sampan.engine.engine import Engine
from sampan.engine.recreate import Changes
from sampan.errors import SampanError
from sampan.model.container import EndpointSettings, HealthConfig, HostConfig, NetworkingConfig
from sampan.network.spec import IPAM, IPAMPool, NetworkSpec
from sampan.oci.reference import parse

from ...support import engine as support
from ...support.clock import SECOND
from ...support.engine import up


async def test_what_is_kept_and_what_changes(engine: Engine, tmp_path: Path) -> None:
    pool = IPAMPool(subnet="10.77.0.0/24")
    await networks.create(engine, NetworkSpec(name="mine", ipam=IPAM(config=[pool])))
    old = await up(
        engine, "sh", "-c", "echo $A > /data/seen; sleep 1000", name="web", stop_timeout=0, env=["A=old", "B=kept"],
        labels={"keep": "1", "drop": "1"}, volumes={"/data": {}}, host=HostConfig(network_mode="mine", memory=64 << 20),
        networking_config=NetworkingConfig(endpoints_config={"mine": EndpointSettings(aliases=["front"])}),
    )  # fmt: skip
    (volume,) = old.mounts
    address = old.networks["mine"].ip_address
    changes = Changes(
        env=["A=new"], labels={"added": "1", "drop": None}, binds=[f"{tmp_path}:/host"], cmd=["sh", "-c", "sleep 1000"]
    )
    new = await recreate.recreate(engine, "web", changes)
    assert (new.name, new.state.status) == ("web", "running")
    assert new.config.env is not None and {"A=new", "B=kept"} <= set(new.config.env)
    assert new.config.labels == {"keep": "1", "added": "1"}
    assert new.config.cmd == ["sh", "-c", "sleep 1000"]
    assert new.host_config.memory == 64 << 20
    assert new.config.hostname == new.id[:12]
    mounts = {point.destination: point for point in new.mounts}
    assert (mounts["/data"].name, mounts["/data"].anonymous) == (volume.name, True)
    assert mounts["/host"].source == str(tmp_path)
    assert new.networks["mine"].ip_address == address
    assert new.networks["mine"].aliases == ["front"]
    assert [container.id for container in engine.containers] == [new.id]
    assert engine.containers.get(old.id) is new  # it answers to its former id
    again = await recreate.recreate(engine, "web", Changes(unmount=["/host"]))
    assert [point.destination for point in again.mounts] == ["/data"]
    assert engine.containers.get(old.id[:12]) is again
    await support.clear(engine)
    assert not engine.volumes.exists(volume.name)
    await networks.remove(engine, "mine")


@pytest.mark.parametrize("changes", [Changes(cmd=["nosuch"]), Changes(env=["FAIL=1"]), Changes(image="nosuch")])
async def test_roll_back(engine: Engine, changes: Changes) -> None:
    check = HealthConfig(test=["CMD-SHELL", "echo bad; test -z $FAIL"], interval=SECOND // 5, retries=1)
    old = await up(engine, "sleep", "1000", name="web", stop_timeout=0, healthcheck=check, volumes={"/data": {}})
    Path(engine.live(old).rootfs, "mine").touch()
    with pytest.raises(SampanError):
        await recreate.recreate(engine, "web", changes)
    assert [container.id for container in engine.containers] == [old.id]
    assert (old.name, old.state.status, old.state.stopped_by_user) == ("web", "running", False)
    assert engine.volumes.exists(old.mounts[0].name)
    assert Path(engine.live(old).rootfs, "mine").exists()


async def test_the_writable_layer_stays_while_the_image_does(engine: Engine) -> None:
    old = await up(engine, "sleep", "1000", name="web", stop_timeout=0)
    image = engine.images.by_id(old.image_id)
    Path(engine.live(old).rootfs, "mine").write_text("data")
    newer = await commit.commit(engine, "web", commit.CommitRequest(target=parse("busybox:latest")))
    try:
        changed = await recreate.recreate(engine, "web", Changes(env=["A=1"]))
        assert (changed.image_id, changed.config.image) == (image.id, "busybox")  # not what the name stands for now
        assert Path(engine.live(changed).rootfs, "mine").read_text() == "data"
        Path(engine.live(changed).rootfs, "more").touch()
        updated = await recreate.recreate(engine, "web", Changes(image="busybox"))
        assert updated.image_id == newer
        assert Path(engine.live(updated).rootfs, "mine").exists()  # the image's
        assert not Path(engine.live(updated).rootfs, "more").exists()
    finally:
        engine.images.tag(image.id, parse("busybox:latest"))
        await support.clear(engine)
        images.remove(engine, newer)


async def test_auto_remove_neither_loses_the_layer_nor_stays(engine: Engine) -> None:
    host = HostConfig(network_mode="none", auto_remove=True)
    old = await up(engine, "sleep", "1000", name="web", stop_timeout=0, host=host)
    Path(engine.live(old).rootfs, "mine").touch()
    with pytest.raises(SampanError):
        await recreate.recreate(engine, "web", Changes(cmd=["nosuch"]))
    assert (old.state.status, Path(engine.live(old).rootfs, "mine").exists()) == ("running", True)
    new = await recreate.recreate(engine, "web", Changes(env=["A=1"]))
    gone = wait.wait(engine, new.id, "removed")
    await kill.kill(engine, new.id)
    await gone.result(30)
    assert not list(engine.containers)
