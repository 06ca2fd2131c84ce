"""Command lines, mount options, JSON, cgroup paths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampan.linux import mount
from sampan.ocirun import namespaces, seccomp
from sampan.ocirun.arguments import FLAG, LIST, VALUE, Incorrect, parse, table
from sampan.ocirun.failure import RuntimeFailed
from sampan.ocirun.lifecycle import cgroup_name
from sampan.ocirun.options import Options, attributes
from sampan.ocirun.state import check_id
from sampan.rpc import documents

OPTIONS = table((FLAG, ("detach", "tty")), (VALUE, ("bundle", "count")), (LIST, ("env",)))


def test_options_in_every_form() -> None:
    words = ["-d", "--bundle=/b", "--env", "A=1", "-e", "B=2", "--tty=false", "id", "-x", "--bundle"]
    found = parse(words, OPTIONS, {"d": "detach", "e": "env"})
    assert found.flag("detach") and not found.flag("tty")
    assert (found.value("bundle"), found.values("env")) == ("/b", ["A=1", "B=2"])
    assert found.rest == ["id", "-x", "--bundle"]
    assert parse(["--", "-d"], OPTIONS).rest == ["-d"]


@pytest.mark.parametrize(
    ("words", "text"), [(["--nosuch"], "not defined: -nosuch"), (["--bundle"], "needs an argument: -bundle")]
)
def test_options_that_are_wrong(words: list[str], text: str) -> None:
    with pytest.raises(Incorrect, match=text):
        parse(words, OPTIONS)
    with pytest.raises(Incorrect, match="invalid value"):
        parse(["--count", "x"], OPTIONS).number("count")


def test_mount_options() -> None:
    found = Options(["rbind", "ro", "nosuid", "suid", "rslave", "rro", "rnoexec", "size=1m", "mode=755", "tmpcopyup"])
    assert found.flags == mount.MS_BIND | mount.MS_REC | mount.MS_RDONLY
    assert found.cleared == mount.MS_NOSUID
    assert found.propagation == [mount.MS_SLAVE | mount.MS_REC]
    assert found.recursive == (mount.MOUNT_ATTR_RDONLY | mount.MOUNT_ATTR_NOEXEC, 0)
    assert (found.data, found.extensions) == ("size=1m,mode=755", ["tmpcopyup"])
    assert attributes(mount.MS_RDONLY | mount.MS_NOATIME) == mount.MOUNT_ATTR_RDONLY | mount.MOUNT_ATTR_NOATIME


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_json_is_json(value: Any) -> None:
    assert documents.loads(json.dumps(value)) == value
    assert json.loads(documents.dumps(value)) == value


@pytest.mark.parametrize("text", ["", "{", "[1,]", "{} x", "nope", '{"a":}'])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        documents.loads(text)


@pytest.mark.parametrize(
    ("path", "systemd", "wanted"),
    [
        ("", False, "/id"),
        ("/docker/abc", False, "/docker/abc"),
        ("relative/../x", False, "/x"),
        ("system.slice:docker:abc", False, "/system.slice:docker:abc"),
        ("a-b.slice:cri:1", True, "a-b.slice:cri:1"),
        ("", True, ":runc:id"),
    ],
)
def test_names_of_control_groups(path: str, systemd: bool, wanted: str) -> None:
    assert cgroup_name({"linux": {"cgroupsPath": path}}, "id", systemd) == wanted


@pytest.mark.parametrize(("path", "text"), [("/a", "slice:prefix:name"), ("a:b:c", "invalid slice name: a")])
def test_names_that_systemd_cannot_have(path: str, text: str) -> None:
    with pytest.raises(RuntimeFailed, match=text):
        cgroup_name({"linux": {"cgroupsPath": path}}, "id", systemd=True)


@pytest.mark.parametrize("container_id", ["", ".", "..", "a/b", "../x", "ä", "a b", "a\n"])
def test_ids_that_are_no_file_names(container_id: str) -> None:
    with pytest.raises(RuntimeFailed, match="invalid container ID"):
        check_id(container_id)


def test_namespaces_of_a_configuration() -> None:
    linux = {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "network", "path": "/run/netns/x"}]}
    found = namespaces.Namespaces(linux)
    assert found.new == namespaces.KINDS["pid"] | namespaces.KINDS["mount"]
    assert found.paths == [(namespaces.KINDS["network"], "/run/netns/x")]
    assert not found.needs_intermediate and found.has(namespaces.KINDS["network"])
    linux["namespaces"].append({"type": "user"})
    assert namespaces.Namespaces(linux).needs_intermediate
    with pytest.raises(RuntimeFailed, match="unknown namespace"):
        namespaces.Namespaces({"namespaces": [{"type": "nosuch"}]})


def test_an_empty_filter_on_disk_is_no_filter(tmp_path: Path) -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}
    whole = seccomp.compiled(profile, str(tmp_path))
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b"")
    seccomp._memory.clear()
    assert seccomp.compiled(profile, str(tmp_path)) == whole == kept.read_bytes()
