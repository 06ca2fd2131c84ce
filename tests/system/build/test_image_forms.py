"""What a build says of an image beside its contents: compression, media types, annotations, provenance."""

from __future__ import annotations

import json
import tarfile
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from sampan.oci import digest as digests

from ...support.daemon import Daemon
from .contexts import write_context

OCI, DOCKER = "application/vnd.oci.image.", "application/vnd.docker."


class _Layout:
    """An OCI layout in a tar: its documents and blobs by digest."""

    def __init__(self, path: Path) -> None:
        with tarfile.open(path) as tar:
            members = [(member.name, tar.extractfile(member)) for member in tar]
            self.files = {name: file.read() for name, file in members if file is not None}
        (self.entry,) = json.loads(self.files["index.json"])["manifests"]
        self.top = self.json(self.entry)

    def blob(self, descriptor: dict[str, Any]) -> bytes:
        data = self.files["blobs/" + descriptor["digest"].replace(":", "/")]
        assert digests.of_bytes(data) == descriptor["digest"] and len(data) == descriptor["size"]
        return data

    def json(self, descriptor: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.blob(descriptor))
        return found


def _built(daemon: Daemon, path: Path, options: str, *words: str) -> _Layout:
    done = daemon.sampan("build", "-q", "-o", f"type=oci,dest={path}/o.tar{options}", *words)
    assert done.status == 0, done
    return _Layout(path / "o.tar")


def _magic(layout: _Layout) -> list[bytes]:
    return [layout.blob(layer)[:4] for layer in layout.top["layers"]]


GZIP, ZSTD = b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd"


def test_compression_and_media_types(daemon: Daemon, name: str, tmp_path: Path) -> None:
    where = write_context(tmp_path / "c", "FROM busybox\nCOPY f /f\nRUN cat /f\n", f=name)
    plain = _built(daemon, tmp_path, "", where)
    assert _magic(plain) == [GZIP] * 3
    zstd = _built(daemon, tmp_path, ",compression=zstd,compression-level=19", where)
    assert _magic(zstd) == [GZIP, ZSTD, ZSTD], "the base image's layers stay as they are"
    assert [layer["mediaType"].rpartition("+")[2] for layer in zstd.top["layers"]] == ["gzip", "zstd", "zstd"]
    assert zstd.top["config"] == plain.top["config"], "what the image is does not depend on it"
    assert _magic(_built(daemon, tmp_path, ",compression=zstd,force-compression=true", where)) == [ZSTD] * 3
    raw = _built(daemon, tmp_path, ",compression=uncompressed", where)
    assert [layer["mediaType"] for layer in raw.top["layers"][1:]] == [f"{OCI}layer.v1.tar"] * 2
    assert [digests.of_bytes(raw.blob(layer)) for layer in raw.top["layers"][1:]] == json.loads(
        raw.blob(raw.top["config"])
    )["rootfs"]["diff_ids"][1:]
    docker = _built(daemon, tmp_path, ",oci-mediatypes=false", where)
    assert docker.entry["mediaType"] == docker.top["mediaType"] == f"{DOCKER}distribution.manifest.v2+json"
    assert docker.top["config"]["mediaType"] == f"{DOCKER}container.image.v1+json"
    assert docker.top["layers"][0]["mediaType"] == f"{DOCKER}image.rootfs.diff.tar.gzip"
    (tmp_path / "o.tar").rename(tmp_path / "docker.tar")
    daemon.ok("load", "-i", str(tmp_path / "docker.tar"))


def test_annotations(daemon: Daemon, name: str, tmp_path: Path) -> None:
    where = write_context(tmp_path / "c", f"FROM scratch\nLABEL l={name}\nCOPY f /f\n", f=name)
    single = _built(
        daemon, tmp_path, ",annotation.a=b", "--annotation", "c=d:e", "--annotation",
        "manifest,manifest-descriptor:f=g", where,
    )  # fmt: skip
    assert single.top["annotations"] == {"a": "b", "c": "d:e", "f": "g"} and single.entry["annotations"] == {"f": "g"}
    several = _built(
        daemon, tmp_path, "", "--platform", "linux/amd64,linux/arm64", "--annotation", "index:i=1", "--annotation",
        "manifest[linux/arm64]:arm=1", "--annotation", "manifest-descriptor[linux/amd64]:amd=1", "--annotation",
        "index-descriptor:top=1", where,
    )  # fmt: skip
    assert several.top["annotations"] == {"i": "1"} and several.entry["annotations"] == {"top": "1"}
    amd, arm = several.top["manifests"]
    assert amd["annotations"] == {"amd": "1"} and "annotations" not in arm
    assert several.json(arm)["annotations"] == {"arm": "1"} and "annotations" not in several.json(amd)
    # an image that is listed already
    for value in ("1", "2"):
        assert daemon.sampan("build", "-q", "-t", name, "--annotation", f"v={value}", where).status == 0
        daemon.ok("save", "-o", str(tmp_path / "saved.tar"), name)
        assert _Layout(tmp_path / "saved.tar").top["annotations"] == {"v": value}


@pytest.mark.parametrize("mode", ["min", "max"])
def test_provenance(daemon: Daemon, name: str, registry: str, tmp_path: Path, mode: str) -> None:
    """The documents are BuildKit's (recorded from dockerd 28.5 with containerd's image store)."""
    dockerfile = "FROM busybox\nARG A\nRUN --mount=type=secret,id=s echo $A > /a\nCOPY f /f\n"
    where = write_context(tmp_path / "c", dockerfile, f=name)
    (tmp_path / "s").write_text("canary-of-a-secret")
    ref = f"{registry}/{name}:1"
    done = daemon.sampan(
        "build", "--provenance", f"mode={mode},builder-id=me", "--build-arg", f"A={name}", "--label", "l=m", "--push",
        "--secret", f"id=s,src={tmp_path}/s", "-t", ref, "--metadata-file", str(tmp_path / "meta"), where,
    )  # fmt: skip
    assert done.status == 0 and "exporting attestation manifest" in done.err, done
    daemon.ok("rmi", "-f", ref)
    daemon.ok("pull", ref)
    daemon.ok("save", "-o", str(tmp_path / "s.tar"), ref)
    layout = _Layout(tmp_path / "s.tar")
    image, stated = layout.top["manifests"]
    assert stated["platform"] == {"architecture": "unknown", "os": "unknown"}
    assert stated["annotations"] == {
        "vnd.docker.reference.digest": image["digest"], "vnd.docker.reference.type": "attestation-manifest"
    }  # fmt: skip
    manifest = layout.json(stated)
    (part,) = manifest["layers"]
    assert part["annotations"] == {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}
    assert layout.json(manifest["config"]) == {
        "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [part["digest"]]},
    }  # fmt: skip
    statement = layout.json(part)
    assert statement["_type"] == "https://in-toto.io/Statement/v0.1"
    (subject,) = statement["subject"]
    assert subject["name"] == f"pkg:docker/{registry}/{name}@1?platform=linux%2Famd64"
    assert f"sha256:{subject['digest']['sha256']}" == image["digest"]
    _check_predicate(statement["predicate"], name, complete=mode == "max")
    assert b"canary" not in layout.blob(part)
    about = json.loads((tmp_path / "meta").read_text())
    assert about["containerimage.digest"] == layout.entry["digest"]
    assert about["buildx.build.provenance"]["materials"] == statement["predicate"]["materials"]
    assert "metadata" not in about["buildx.build.provenance"]


def _check_predicate(found: dict[str, Any], name: str, *, complete: bool) -> None:
    assert found["builder"] == {"id": "me"} and found["buildType"] == "https://mobyproject.org/buildkit@v1"
    (material,) = found["materials"]
    assert material["uri"] == "pkg:docker/busybox@latest?platform=linux%2Famd64" and set(material["digest"]) == {
        "sha256"
    }
    parameters = found["invocation"].pop("parameters")
    assert found["invocation"] == {
        "configSource": {"entryPoint": "Dockerfile"}, "environment": {"platform": "linux/amd64"}
    }  # fmt: skip
    assert parameters["frontend"] == "dockerfile.v0" and parameters["locals"] == [
        {"name": "context"}, {"name": "dockerfile"}
    ]  # fmt: skip
    about = found["metadata"]
    assert about["completeness"] == {"parameters": True, "environment": True, "materials": False}
    assert about["buildStartedOn"] < about["buildFinishedOn"] and about["reproducible"] is False
    more = about["https://mobyproject.org/buildkit@v1#metadata"]
    if not complete:
        assert "args" not in parameters and "secrets" not in parameters and more == {} and "buildConfig" not in found
        return
    assert parameters["args"] == {"build-arg:A": name, "label:l": "m"}
    assert parameters["secrets"] == [{"id": "s", "optional": True}]
    (info,) = more["source"]["infos"]
    assert b64decode(info["data"]).startswith(b"FROM busybox\nARG A\n")
    steps = {step["id"]: step for step in found["buildConfig"]["llbDefinition"]}
    (run,) = [step for step in steps.values() if "exec" in step["op"]["Op"]]
    assert run["op"]["Op"]["exec"]["meta"]["args"][-1] == "echo $A > /a"
    assert run["op"]["Op"]["exec"]["mounts"][1] == {"input": -1, "dest": "/run/secrets/s", "mountType": 1}
    assert more["source"]["locations"][run["id"]]["locations"][0]["ranges"][0]["start"] == {"line": 3}
    assert steps[run["inputs"][0].partition(":")[0]]["op"]["Op"]["source"]["identifier"].startswith("docker-image://")


def test_what_cannot_be_is_refused(daemon: Daemon, tmp_path: Path) -> None:
    where = write_context(tmp_path / "c", "FROM scratch\nLABEL a=b\n")
    for words, text in (
        (("-o", "type=image,compression=foo"), "unsupported compression type foo"),
        (("-o", "type=image,compression=gzip,compression-level=99"), "invalid compression level 99 for gzip"),
        (("-o", "type=image,dangling-name-prefix=x"), "dangling-name-prefix=x cannot be done here"),
        (("-o", f"type=local,dest={tmp_path}/o,compression=zstd"), "local has no compression"),
        (("--annotation", "foo"), 'parse annotations: invalid annotation "foo", expected key=value'),
        (("--annotation", "foo:a=b"), 'parse annotations: unknown annotation type "foo"'),
        (("--annotation", "index:a=b"), "index annotations not supported for single platform export"),
        (("--attest", "type=foo"), 'unknown attestation type "foo"'),
        (("--provenance", "mode=foo"), 'invalid mode "foo"'),
        (("--sbom", "true"), "attestations of type sbom are not made here"),
        (("-o", f"type=oci,dest={tmp_path}/a", "-o", "type=image,compression=zstd"), "need builds of their own"),
    ):  # fmt: skip
        done = daemon.sampan("build", "-q", *words, where)
        assert done.status == 1 and text in done.err, (words, done)
    for words in (("--provenance", "false"), ("--sbom=false",), ("-o", "type=image,unpack=true")):
        assert daemon.sampan("build", "-q", *words, where).status == 0
