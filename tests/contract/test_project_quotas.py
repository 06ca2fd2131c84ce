"""Project quotas limit volumes and layers. Skipped where the kernel has none; the emulated machine's has."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sampan.db import Database
from sampan.engine.config import EngineConfig
from sampan.engine.drivers import check_storage_options
from sampan.engine.engine import Engine
from sampan.errors import InvalidArgument
from sampan.linux import capabilities, quota
from sampan.volume import Volumes
from tests.support import rest

KINDS = {"xfs": ["mkfs.xfs", "-q"], "ext4": ["mke2fs", "-q", "-t", "ext4", "-O", "quota,project"]}
MIB = 1 << 20


@pytest.fixture(params=KINDS)
def limited(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system with project quotas."""
    image, root = tmp_path / "image", tmp_path / "mounted"
    root.mkdir()
    os.truncate(os.open(image, os.O_CREAT | os.O_WRONLY), 400 * MIB)
    subprocess.run([*KINDS[request.param], str(image)], check=True)
    mount = ["mount", "-t", request.param, "-o", "loop,prjquota", str(image), str(root)]
    mounted = subprocess.run(mount, capture_output=True).returncode == 0
    if not mounted or not quota.enforced(str(root)):
        subprocess.run(["umount", str(root)], check=mounted, capture_output=True)
        pytest.skip(f"this kernel has no project quotas on {request.param}")
    yield root
    subprocess.run(["umount", str(root)], check=True)


def holds(directory: Path, size: int) -> bool:
    """Whether a directory takes so many bytes from a container's root."""
    path, before = directory / "file", capabilities.capget()
    capabilities.capset(
        before[0] & ~capabilities.mask(["CAP_SYS_RESOURCE"]), *before[1:]
    )  # who has it is not held by ext4
    try:
        path.write_bytes(bytes(size))
        return True
    except OSError as error:
        assert error.strerror in ("No space left on device", "Disk quota exceeded")
        return False
    finally:
        capabilities.capset(*before)
        path.unlink(missing_ok=True)


async def test_a_volume_takes_what_it_may(limited: Path, tmp_path: Path) -> None:
    volumes = Volumes(Database(f"{tmp_path}/db"), f"{limited}/volumes")
    await volumes.create("small", options={"size": "2m"})
    path = Path(await volumes.mount("small", "box"))
    assert not os.path.ismount(path) and not (limited / "volumes/small/image").exists()
    assert holds(path, MIB) and not holds(path, 3 * MIB)
    (path / "below").mkdir()
    assert not holds(path / "below", 3 * MIB)
    assert os.statvfs(path).f_blocks * os.statvfs(path).f_frsize == 2 * MIB  # what df(1) shows inside
    other = Path((await volumes.create("other")).mountpoint)
    assert holds(other, 3 * MIB)
    again = Volumes(Database(f"{tmp_path}/db"), f"{limited}/volumes")
    assert await again.mount("small", "box") == str(path) and not holds(path, 3 * MIB)
    await volumes.remove("small")
    volumes.close()


async def test_a_layer_takes_what_it_may(limited: Path) -> None:
    async with rest.engine(limited) as engine:
        assert engine.snapshots.has_limits
        box = await rest.container(engine, storage_opt={"size": "2M"})
        root = Path(engine.snapshots.mount(box.id))
        assert holds(root, MIB) and not holds(root, 3 * MIB) and not holds(root / "data", 3 * MIB)
        directory = engine.snapshots.path(engine.snapshots.stat(box.id))
        assert quota.of(directory) == 2 * MIB
        engine.snapshots.unmount(box.id)
        free = await rest.container(engine, "free")
        assert holds(Path(engine.snapshots.mount(free.id)), 3 * MIB)
        with pytest.raises(InvalidArgument, match=r"^Unknown option sise$"):
            await rest.container(engine, "wrong", storage_opt={"sise": "1m"})


async def test_the_daemon_s_size_is_for_every_container(limited: Path) -> None:
    config = EngineConfig(data_root=f"{limited}/data", exec_root=f"{limited}/run", storage_opts=("overlay2.size=2m",))
    engine = Engine(config)
    await rest.add_image(engine, "base", rest.tar(*rest.TREE))
    boxes = [await rest.container(engine), await rest.container(engine, "own", storage_opt={"size": "4m"})]
    limits = [quota.of(engine.snapshots.path(engine.snapshots.stat(box.id))) for box in boxes]
    assert limits == [2 * MIB, 4 * MIB]
    await engine.close()
    for wrong in ("overlay2.sise=1", "overlay2.size", "overlay2.size=x"):
        with pytest.raises(InvalidArgument):
            check_storage_options(engine.snapshots, (wrong,))


async def test_where_there_are_no_quotas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited: Callable[[str], bool] = lambda path: False  # noqa: E731
    monkeypatch.setattr(quota, "enforced", unlimited)
    async with rest.engine(tmp_path) as engine:
        with pytest.raises(InvalidArgument) as caught:
            await rest.container(engine, storage_opt={"size": "2m"})
    assert str(caught.value) == "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
    config = EngineConfig(data_root=f"{tmp_path}/data", exec_root=f"{tmp_path}/run", storage_opts=("overlay2.size=2m",))
    with pytest.raises(InvalidArgument, match=r"^Storage option overlay2\.size not supported\."):
        Engine(config)
