"""S14: cp in both directions while the container swaps a directory for a link to the host's, as fast as it can."""

from __future__ import annotations

import asyncio
import io
import os
import stat
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from sampan.cli import copy_archive
from sampan.engine import archive
from sampan.errors import NotFound, SampanError
from sampan.model.container import Mount, VolumeOptions
from tests.support import rest
from tests.support.tars import Member, directory, tar

SECONDS = float(os.environ.get("SAMPAN_RACE_SECONDS", "2"))


SWAP = """
import os, sys
real, link, spare = sys.argv[1], sys.argv[2], sys.argv[1] + ".spare"
while True:
    os.rename(real, spare)
    os.rename(link, real)
    os.rename(real, link)
    os.rename(spare, real)
"""
"""A hostile container's side: put a link to the host's in a directory's place and back, until killed."""


@pytest.mark.parametrize("where", ["/spot", "/spot/inner"])
async def test_s14_a_swapped_component_leads_nowhere(tmp_path: Path, where: str) -> None:
    canary = tmp_path / "host"
    (canary / "inner").mkdir(parents=True)
    (canary / "secret").write_bytes(b"secret of the host")
    (canary / "inner/secret").write_bytes(b"secret of the host")
    listing = sorted(str(path) for path in canary.rglob("*"))
    async with rest.engine(tmp_path) as engine:
        box = await rest.container(engine)
        root = Path(engine.snapshots.mount(box.id))
        (root / "spot/inner").mkdir(parents=True)
        (root / "spot/secret").write_bytes(b"of the container")
        (root / "other").symlink_to(f"../../../../../../../../..{canary}")
        process = subprocess.Popen([sys.executable, "-c", SWAP, f"{root}/spot", f"{root}/other"])
        try:
            await _attack(engine, where)
        finally:
            process.kill()
            process.wait()
    assert sorted(str(path) for path in canary.rglob("*")) == listing
    assert (canary / "secret").read_bytes() == b"secret of the host"


async def _attack(engine: object, where: str) -> None:
    poison = tar(directory("inner"), Member("inner/planted", b"x"), Member("secret", b"overwritten", mode=0o777))
    done, deadline = 0, time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            async with archive.get(engine, "box", where) as (_, chunks):  # type: ignore[arg-type]
                data = b"".join([chunk async for chunk in chunks])
            assert b"secret of the host" not in data
            await archive.put(engine, "box", where, rest.body(io.BytesIO(poison.getvalue()).read()))  # type: ignore[arg-type]
        except (SampanError, OSError):
            await asyncio.sleep(0)
        done += 1
    assert done > 10


async def test_s14_a_volume_s_subpath_that_became_a_link_leads_nowhere(tmp_path: Path) -> None:
    canary = tmp_path / "host"
    canary.mkdir()
    (canary / "secret").write_bytes(b"secret of the host")
    options = VolumeOptions(subpath="given", no_copy=True)
    mount = Mount(type="volume", source="shared", target="/mine", volume_options=options)
    async with rest.engine(tmp_path) as engine:
        await rest.container(engine, mounts=[mount])
        (Path(engine.volumes.get("shared").mountpoint) / "given").symlink_to(canary)
        with pytest.raises(NotFound):
            await archive.stat(engine, "box", "/mine/secret")
        with pytest.raises(SampanError):
            await archive.put(engine, "box", "/mine", rest.body(tar(Member("planted", b"x")).getvalue()))
    assert os.listdir(canary) == ["secret"]


def test_s14_a_link_in_the_place_of_what_was_unpacked_changes_nothing_else(tmp_path: Path) -> None:
    """`docker cp` into a directory of the host that a container shares."""
    victim = tmp_path / "victim"
    victim.touch(0o600)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/file").symlink_to(victim)  # what the container made of it
    member = tarfile.TarInfo("file")
    member.mode = 0o4777
    parent = os.open(tmp_path / "shared", os.O_RDONLY | os.O_DIRECTORY)
    copy_archive._set_metadata(member, parent, "file", keep_owners=False)
    os.close(parent)
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600
