"""Attributes of the Dockerfile front end, and exporters' of results."""

from __future__ import annotations

import pytest

from sampan.build.cacheexport import CacheTarget
from sampan.build.cacheimport import CacheSource
from sampan.buildkit.attrs import Attributes, cache_targets
from sampan.buildkit.exporters import form_of, kind_of, names_of
from sampan.buildkit.proto.control_pb2 import CacheOptionsEntry, Exporter
from sampan.errors import InvalidArgument, NotImplementedHere
from sampan.model.container import Ulimit
from sampan.oci import platform as platforms


def test_what_buildx_sends() -> None:
    asked = Attributes({
        "add-hosts": "a=1.2.3.4,b=::1", "build-arg:HTTP_PROXY": "http://x", "cgroup-parent": "/zz", "label:x": "y=z",
        "context:busybox": "docker-image://alpine:latest", "force-network-mode": "none", "no-cache": "one,two",
        "frontend.caps": "moby.buildkit.frontend.contexts+forward", "shm-size": "134217728",
        "ulimit": "nofile=10:20,nproc=5", "platform": "linux/arm64", "multi-platform": "true",
        "cache-imports": '[{"Type":"registry","Attrs":{"ref":"r/x:1"}}]', "attest:sbom": "disabled=true",
        "attest:provenance": "mode=min,inline-only=true",
    })  # fmt: skip
    asked.check()
    limits = asked.limits
    assert limits.extra_hosts == ["a:1.2.3.4", "b:::1"] and limits.shm_size == 1 << 27 and limits.cgroup_parent == "/zz"
    assert limits.ulimits == [Ulimit(name="nofile", soft=10, hard=20), Ulimit(name="nproc", soft=5, hard=5)]
    assert asked.named("build-arg") == {"HTTP_PROXY": "http://x"} and asked.named("label") == {"x": "y=z"}
    assert asked.network == "none" and not asked.no_cache and asked.no_cache_stages == {"one", "two"}
    assert asked.platforms == [platforms.parse("linux/arm64")] and asked.several
    assert asked.cache_sources() == [CacheSource("r/x:1")] and asked.form.provenance is None
    assert asked.filename == "Dockerfile" and Attributes({"no-cache": ""}).no_cache and not Attributes({}).several


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"frontend.caps": "moby.buildkit.frontend.inputs,other"}, "unsupported frontend capability other"),
        ({"attest:sbom": "generator=x"}, "attestations of the kind sbom"),
        ({"hostname": "x"}, "a host name of build steps"),
    ],
)
def test_what_would_be_left_undone_is_refused(attributes: dict[str, str], why: str) -> None:
    with pytest.raises((InvalidArgument, NotImplementedHere), match=why):
        Attributes(attributes).check()


def test_values_that_are_none() -> None:
    for attributes, name in (
        ({"ulimit": "nofile=x"}, "limits"), ({"shm-size": "-1"}, "limits"), ({"cache-imports": "{"}, "cache_sources"),
        ({"force-network-mode": "bridge"}, "network"), ({"platform": "a/b/c/d/e"}, "platforms"),
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            found = getattr(Attributes(attributes), name)
            found()  # a property has failed by now


def test_caches_to_write() -> None:
    registry = CacheOptionsEntry(Type="registry", Attrs={"ref": "r/x:1", "mode": "max"})
    assert cache_targets([registry]) == [CacheTarget("registry", "r/x:1", everything=True)]
    with pytest.raises(InvalidArgument, match="cache exporter local is not supported"):
        cache_targets([CacheOptionsEntry(Type="local", Attrs={"dest": "/x"})])


def test_exporters() -> None:
    plain, formed = Exporter(Type="moby", Attrs={"name": "a,b:1", "push": "true"}), Exporter(Type="oci")
    formed.Attrs.update({"compression": "zstd", "annotation.x": "y", "dest": "o.tar", "tar": "true"})
    assert [str(name) for name in names_of(plain)] == ["docker.io/library/a", "docker.io/library/b:1"]
    assert kind_of(plain).listed and not kind_of(formed).listed
    assert form_of([Exporter(Type="local"), formed], None).compression == "zstd"
    for several, why in (
        ([plain, formed], "exporters ask for several"),
        ([Exporter(Type="tar", Attrs={"name": "x"})], "tar knows no name"),
    ):  # fmt: skip
        with pytest.raises(InvalidArgument, match=why):
            form_of(several, None)
