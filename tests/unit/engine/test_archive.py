"""cp, diff, export and commit on a container that does not run; what dockerd 28.5 answered to the same."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support import rest
from tests.support.tars import Member, directory, read, symlink, tar

from sampan.engine import archive, changes, commit, export
from sampan.engine.engine import Engine
from sampan.errors import InvalidArgument, NotFound, SampanError


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with rest.engine(tmp_path) as made:
        yield made


async def got(engine: Engine, path: str) -> dict[str, tarfile.TarInfo]:
    async with archive.get(engine, "box", path) as (_, chunks):
        return read(b"".join([chunk async for chunk in chunks]))


def put(engine: Engine, path: str, stream: io.BytesIO, **options: bool) -> object:
    return archive.put(engine, "box", path, rest.body(stream.getvalue()), **options)


async def test_stat(engine: Engine) -> None:
    await rest.container(engine)
    shown = {path: await archive.stat(engine, "box", path) for path in ("/etc/passwd", "/etc/", "/etc/.", "/", "/link")}
    assert {path: (one.name, one.link_target) for path, one in shown.items()} == {
        "/etc/passwd": ("passwd", ""), "/etc/": ("etc", ""), "/etc/.": (".", ""), "/": ("/", ""),
        "/link": ("link", "/data"),
    }  # fmt: skip
    assert [shown[path].mode for path in ("/etc/passwd", "/etc/", "/link")] == [420, 2147484141, 134218239]
    assert shown["/etc/passwd"].mtime == "2023-11-14T22:13:20Z"
    for path, error, text in (
        ("/nosuch", NotFound, "Could not find the file /nosuch in container box"),
        ("/etc/passwd/x", NotFound, "Could not find the file /etc/passwd/x in container box"),
        ("/etc/passwd/", SampanError, "lstat /etc/passwd/: not a directory"),
        ("", InvalidArgument, "bad parameter: pathcannot be empty"),
    ):
        with pytest.raises(error) as caught:
            await archive.stat(engine, "box", path)
        assert str(caught.value) == text


async def test_get_names_what_docker_names(engine: Engine) -> None:
    await rest.container(engine)
    assert list(await got(engine, "/data")) == ["data", "data/seed"]
    assert list(await got(engine, "/data/.")) == [".", "./seed"]
    assert list(await got(engine, "/link")) == ["link"]
    assert list(await got(engine, "/link/")) == ["link", "link/seed"]
    assert {"/", "/etc/passwd"} <= {name if name == "/" else f"/{name.lstrip('/')}" for name in await got(engine, "/")}


async def test_put(engine: Engine) -> None:
    await rest.container(engine, config_user="app")
    await put(engine, "/tmp", tar(directory("d"), Member("d/f", b"x", uid=5, gid=6), symlink("d/l", "f")))
    await put(engine, "/tmp", tar(Member("mine", b"x", uid=5, gid=6)), copy_uid_gid=True)
    found = await got(engine, "/tmp")
    assert (found["tmp/d/f"].uid, found["tmp/d/f"].gid) == (5, 6)
    assert (found["tmp/mine"].uid, found["tmp/mine"].gid) == (1000, 1001)
    packed = io.BytesIO(__import__("gzip").compress(tar(Member("packed", b"x")).getvalue()))
    await put(engine, "/link", packed)
    assert "data/packed" in await got(engine, "/data")
    for path, text in (
        ("/etc/passwd", "extraction point is not a directory"),
        ("/no", "Could not find the file /no in"),
    ):
        with pytest.raises(SampanError, match=text):
            await put(engine, path, tar())
    for stream in (tar(Member("d", b"file")), tar(directory("mine"))):
        with pytest.raises(InvalidArgument, match="cannot overwrite"):
            await put(engine, "/tmp", stream, no_overwrite_dir_non_dir=True)
    await put(engine, "/tmp", tar(directory("mine")))
    assert (await got(engine, "/tmp/mine"))["mine"].isdir()


async def test_put_follows_links_that_are_there_but_only_inside(engine: Engine) -> None:
    await rest.container(engine)
    await put(engine, "/tmp", tar(symlink("to-data", "/data"), symlink("out", "../../../../../../data")))
    await put(engine, "/tmp", tar(Member("to-data/one", b"1"), Member("out/two", b"2")))
    assert {"data/one", "data/two"} <= (await got(engine, "/data")).keys()


async def test_volumes_are_seen_and_read_only_ones_refused(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    binds = ["vol:/vol", "locked:/locked:ro", f"{tmp_path}/host:/host"]
    await rest.container(engine, binds=binds, readonly_rootfs=True)
    await put(engine, "/vol", tar(Member("in", b"volume")))
    assert Path(engine.volumes.get("vol").mountpoint, "in").read_bytes() == b"volume"
    assert "vol/in" in await got(engine, "/vol")
    await put(engine, "/host", tar(Member("there")))
    assert (tmp_path / "host/there").exists()
    with pytest.raises(InvalidArgument, match=r"^container rootfs is marked read-only$"):
        await put(engine, "/tmp", tar())
    with pytest.raises(InvalidArgument, match=r"^mounted volume is marked read-only$"):
        await put(engine, "/locked", tar())
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


async def test_diff_export_and_commit(engine: Engine) -> None:
    box = await rest.container(engine, config_env=["A=1"], config_labels={"x": "y"})
    assert await changes.changes(engine, "box") == []
    assert (await commit.commit(engine, "box", commit.CommitRequest())) != box.image_id
    await put(engine, "/", tar(directory("data", 0o750, uid=7, gid=8), Member("data/new", b"12345"), directory("opt")))
    root = Path(engine.snapshots.mount(box.id))
    (root / "data/seed").unlink()
    engine.snapshots.unmount(box.id)
    found = [(change.kind, change.path) for change in await changes.changes(engine, "box")]
    assert found == [(0, "/data"), (1, "/data/new"), (2, "/data/seed"), (1, "/opt")]
    names = read(b"".join([chunk async for chunk in export.export(engine, "box")])).keys()
    assert "data/new" in names and "data/seed" not in names and ".dockerenv" in names
    request = commit.CommitRequest(
        comment="why", author="me", changes=["ENV B=2", "LABEL z=1", 'ENTRYPOINT ["/bin/sh"]', "EXPOSE 80"]
    )
    made = engine.images.get(await commit.commit(engine, "box", request))
    config = made.config.config
    assert config is not None and set(config.env or ()) == {"A=1", "B=2"}
    assert (config.entrypoint, config.cmd, config.labels) == (["/bin/sh"], None, {"x": "y", "z": "1"})
    assert (made.config.author, made.config.comment, made.parent) == ("me", "why", box.image_id)
    assert len(made.layers) == 2 and made.config.history and made.config.history[-1].created_by == "/bin/sh"
    await rest.container(engine, "again", image=made.id)
    async with archive.get(engine, "again", "/data") as (_, chunks):
        assert list(read(b"".join([chunk async for chunk in chunks]))) == ["data", "data/new"]
    with pytest.raises(InvalidArgument):
        await commit.commit(engine, "box", commit.CommitRequest(changes=["RUN rm -rf /"]))


async def test_an_image_goes_with_its_init_layer(engine: Engine) -> None:
    box = await rest.container(engine)
    chain = engine.images.by_id(box.image_id).chain_id
    assert engine.snapshots.exists(f"init:{chain}")
    engine.snapshots.remove(box.id)
    engine.snapshots.remove(chain)
    assert list(engine.snapshots.walk()) == []
    engine.snapshots.settle()
    assert not [name for name in os.listdir(f"{engine.paths.snapshots}/overlay2") if name.isdecimal()]
