"""`-v` and `--mount` texts: what dockerd 28.5 made of the same ones, word for word."""

from __future__ import annotations

import pytest

from sampan.engine.mountspec import parse_bind, parse_mount, parse_volumes_from, tmpfs_mount_options, tmpfs_options
from sampan.errors import InvalidArgument
from sampan.model.container import BindOptions, Mount, TmpfsOptions, VolumeOptions

BAD_BINDS = {
    "v:/data:foo": "invalid mode: foo",
    "v:/data:ro,rw": "invalid mode: ro,rw",
    "v:/": "invalid volume specification: 'v:/': invalid mount config for type \"volume\": invalid specification: "
    "destination can't be '/'",
    "v:data": "invalid volume specification: 'v:data': invalid mount config for type \"volume\": invalid mount path: "
    "'data' mount path must be absolute",
    "a:b:c:d": "invalid volume specification: 'a:b:c:d'",
    "/data:ro": "invalid volume specification: '/data:ro'",
    "v:/data:rshared": "invalid volume specification: 'v:/data:rshared': invalid mount config for type \"volume\": "
    "field BindOptions must not be specified",
}  # fmt: skip
BAD_MOUNTS = {
    "bind source path does not exist: /nonexistent/q": Mount(type="bind", source="/nonexistent/q", target="/d"),
    "invalid mount path: 'rel' mount path must be absolute": Mount(type="bind", source="rel", target="/d"),
    "field Source must not be empty": Mount(type="bind", target="/d"),
    "mount type unknown": Mount(type="foo", target="/d"),
    "field Source must not be specified": Mount(type="tmpfs", source="x", target="/d"),
    "must not set ReadOnly mode when using anonymous volumes": Mount(type="volume", target="/d", read_only=True),
    "invalid specification: destination can't be '/'": Mount(type="volume", source="v", target="/"),
    "field Target must not be empty": Mount(type="volume", source="v"),
    "field VolumeOptions must not be specified": Mount(
        type="bind", source="/", target="/d", volume_options=VolumeOptions()
    ),
    "invalid propagation mode: x": Mount(
        type="bind", source="/", target="/d", bind_options=BindOptions(propagation="x")
    ),
}


@pytest.mark.parametrize("text", BAD_BINDS)
def test_a_bad_bind_is_refused_in_docker_s_words(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_bind(text, "")
    assert str(caught.value) == BAD_BINDS[text]


@pytest.mark.parametrize("wrong", BAD_MOUNTS)
def test_a_bad_mount_is_refused_in_docker_s_words(wrong: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_mount(BAD_MOUNTS[wrong])
    assert str(caught.value) == f'invalid mount config for type "{BAD_MOUNTS[wrong].type}": {wrong}'


def test_binds() -> None:
    spec = parse_bind("/a/../b:/data/:ro,Z,rshared", "other")
    assert (spec.mount.type, spec.mount.source, spec.target, spec.mode) == ("bind", "/b", "/data", "ro,Z,rshared")
    assert spec.mount.read_only and spec.mount.bind_options == BindOptions(propagation="rshared")
    named = parse_bind("vol:/data:nocopy", "other").mount
    assert named.volume_options and named.volume_options.no_copy and named.volume_options.driver_config
    assert named.volume_options.driver_config.name == "other"
    assert parse_bind("/data", "").mount.source == ""


def test_volumes_from() -> None:
    assert parse_volumes_from("box") == ("box", True)
    assert parse_volumes_from("box:ro") == ("box", False)
    with pytest.raises(InvalidArgument, match=r"^invalid mode: foo$"):
        parse_volumes_from("box:foo")


def test_tmpfs_options_override_the_defaults() -> None:
    assert tmpfs_options("") == ["noexec", "nosuid", "nodev"]
    assert tmpfs_options("exec,size=1m,size=2m") == ["nosuid", "nodev", "exec", "size=2m"]
    with pytest.raises(InvalidArgument):
        tmpfs_options("bogus=1")
    mount = Mount(type="tmpfs", target="/t", tmpfs_options=TmpfsOptions(size_bytes=1 << 20, mode=0o700))
    assert tmpfs_mount_options(mount) == ["noexec", "nosuid", "nodev", "mode=700", "size=1048576"]
