"""Changing a container by an atomic re-create, with roll-back."""

from __future__ import annotations

from pathlib import Path

import pytest

from sampan.engine import networks, recreate
from sampan.engine.engine import Engine
from sampan.engine.recreate import Changes
from sampan.errors import SampanError
from sampan.model.container import EndpointSettings, HealthConfig, HostConfig, NetworkingConfig
from sampan.network.spec import IPAM, IPAMPool, NetworkSpec

from ...support import engine as support
from ...support.clock import SECOND
from ...support.engine import make, opened, up


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
    with pytest.raises(SampanError):
        await recreate.recreate(engine, "web", changes)
    assert [container.id for container in engine.containers] == [old.id]
    assert (old.name, old.state.status, old.state.stopped_by_user) == ("web", "running", False)
    assert engine.volumes.exists(old.mounts[0].name)


async def test_a_change_that_was_cut_short_is_rolled_back(directory: Path) -> None:
    async with opened(directory) as engine:
        old = await up(engine, "sleep", "1000", name="web", stop_timeout=0)
        new = await make(engine, "sleep", "2000")
        new.replaces = recreate.Replaced(id=old.id, name="web", running=True)
        await recreate._swap(engine, old, new)
        assert (new.name, old.state.status) == ("web", "exited")
    async with opened(directory) as engine:
        (container,) = engine.containers
        assert (container.id, container.name, container.state.status) == (old.id, "web", "running")
        await support.clear(engine)
