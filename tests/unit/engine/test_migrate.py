"""What the migration from Docker decides by itself; a real data-root is in tests/compat/test_migration.py."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from tests.support import rest

from sampan.engine import migrate, volumes
from sampan.engine.dockerroot import DockerRoot, VolumeRow
from sampan.errors import DataLoss, InvalidArgument
from sampan.model.progress import Progress


def docker_root(path: Path) -> DockerRoot:
    for name in ("overlay2", "image/overlay2/layerdb", "volumes/sized/_data"):
        (path / name).mkdir(parents=True)
    return DockerRoot(str(path))


@pytest.mark.parametrize(
    ("made", "text"),
    [("image/btrfs", "images of btrfs"), ("rootfs/overlayfs", "in containerd's store"), ("other", "overlay2")],
)
def test_what_is_no_overlay2_root_is_named(tmp_path: Path, made: str, text: str) -> None:
    (tmp_path / made).mkdir(parents=True)
    with pytest.raises(InvalidArgument, match=text):
        DockerRoot(str(tmp_path))


def test_what_stays_behind_is_told(tmp_path: Path) -> None:
    root = docker_root(tmp_path)
    for name in ("swarm/docker-state.json", "buildkit/cache.db", f"plugins/{'a' * 64}/config.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text('{"plugin": {"Name": "vieux/sshfs:latest"}}')
    assert [name for name, _ in root.left_out()] == ["swarm", "plugin vieux/sshfs:latest", "build cache"]


def test_only_a_process_of_its_own_makes_it_run() -> None:
    own = Path("/proc/self/cgroup").read_text().split("/")[-1].strip() or "/"
    state = {"Running": True, "Pid": os.getpid()}
    assert migrate.runs({"ID": own, "State": state})
    assert not migrate.runs({"ID": "f" * 64, "State": state})
    assert not migrate.runs({"ID": own, "State": {"Running": True, "Pid": 2**22 + 1}})
    assert not migrate.runs({"ID": own, "State": {"Running": False, "Pid": 0}})


def write_container(root: DockerRoot, name: str, container_id: str, image_id: str) -> None:
    directory = Path(root.path, "containers", name)
    directory.mkdir(parents=True)
    config = {"ID": container_id, "Name": "/old", "Created": "2026-01-01T00:00:00Z", "Image": image_id, "Config": {},
              "NetworkSettings": {}, "State": {}, "Path": "true", "Args": []}  # fmt: skip
    (directory / "config.v2.json").write_text(json.dumps(config))
    (directory / "hostconfig.json").write_text("{}")


@pytest.mark.parametrize("name", ["a" * 64, "old"])
def test_a_record_is_of_the_container_that_its_directory_names(tmp_path: Path, name: str) -> None:
    root = docker_root(tmp_path)
    write_container(root, name, "old" if name == "old" else "../../../precious", "")
    with pytest.raises(DataLoss, match="of another container"):
        root.container(name)


@pytest.mark.parametrize("here", [True, False])
async def test_s29_a_failure_takes_away_only_what_it_made(tmp_path: Path, here: bool) -> None:
    root, container_id = docker_root(tmp_path / "docker"), "a" * 64
    async with rest.engine(tmp_path) as engine:
        write_container(root, container_id, container_id, engine.images.all()[0].id)  # it has no writable layer
        precious = Path(engine.paths.container(container_id), "precious")
        if here:
            precious.parent.mkdir()
            precious.touch()
        with pytest.raises((FileExistsError, DataLoss)):
            await migrate._Migration(engine, root, lambda _: None)._container(container_id)
        assert precious.exists() == precious.parent.exists() == here
        assert not engine.snapshots.exists(container_id) and container_id not in engine.containers


async def test_a_volume_with_a_size_keeps_its_data(tmp_path: Path) -> None:
    root, told = docker_root(tmp_path / "docker"), list[Progress]()
    (tmp_path / "docker/volumes/sized/_data/file").write_text("data")
    async with rest.engine(tmp_path) as engine:
        work = migrate._Migration(engine, root, told.append)
        await work._volume(VolumeRow("sized", options={"size": "8m"}))
        async with volumes.mounted(engine, "sized") as path:
            assert Path(path, "file").read_text() == "data"
        await work._volume(VolumeRow("ram", options={"type": "tmpfs", "device": "tmpfs"}))
        await volumes.remove(engine, "sized")
    assert [one.status for one in told] == ["volume ram: its data stays where it is: tmpfs"]
