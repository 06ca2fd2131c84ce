"""Images in archives of the shapes that the tools write; tests/compat/test_images_peers.py has the tools themselves."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TIME = "2026-01-01T00:00:00Z"
OCI = "application/vnd.oci.image"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def hexadecimal(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tree(files: Mapping[str, bytes]) -> bytes:
    """A tar of files without their directories: kaniko and some of BuildKit's layers leave parents out."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@dataclass
class Built:
    """An image of plain tars; what it is called depends on who packs it."""

    layers: Sequence[bytes]
    platform: str = "linux/amd64"
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> bytes:
        return json.dumps({
            **self.described, "created": TIME, "config": {"Cmd": ["/f"], "Labels": dict(self.labels)},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in self.layers]},
            "history": [{"created": TIME, "created_by": "COPY"} for _ in self.layers],
        }).encode()  # fmt: skip

    @property
    def described(self) -> dict[str, str]:
        system, architecture, *variant = self.platform.split("/")
        return {"os": system, "architecture": architecture} | ({"variant": variant[0]} if variant else {})

    @property
    def packed(self) -> list[bytes]:
        return [gzip.compress(layer, mtime=0) for layer in self.layers]


class Layout:
    """An OCI layout that grows: `add` gives the descriptor of a blob."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def add(self, data: bytes, kind: str, **more: Any) -> dict[str, Any]:
        self.files[f"blobs/sha256/{hexadecimal(data)}"] = data
        return {"mediaType": kind, "digest": digest(data), "size": len(data), **more}

    def image(self, built: Built, *, compressed: bool = True, kind: str = OCI) -> dict[str, Any]:
        """The descriptor of a manifest."""
        layer = f"{kind}.layer.v1.tar" + ("+gzip" if compressed else "")
        blobs = built.packed if compressed else built.layers
        document = {
            "schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json",
            "config": self.add(built.config, f"{kind}.config.v1+json"),
            "layers": [self.add(blob, layer) for blob in blobs],
        }  # fmt: skip
        return self.add(json.dumps(document).encode(), f"{OCI}.manifest.v1+json", platform=built.described)

    def attestation(self, about: dict[str, Any]) -> dict[str, Any]:
        """The descriptor of a statement about a manifest, as BuildKit adds one for each platform."""
        statement = json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "about": about["digest"]}).encode()
        empty = {"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": {"type": "layers",
                 "diff_ids": [digest(statement)]}}  # fmt: skip
        document = {
            "schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json",
            "config": self.add(json.dumps(empty).encode(), f"{OCI}.config.v1+json"),
            "layers": [self.add(statement, "application/vnd.in-toto+json", annotations={
                "in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"})],
        }  # fmt: skip
        notes = {"vnd.docker.reference.digest": about["digest"], "vnd.docker.reference.type": "attestation-manifest"}
        unknown = {"os": "unknown", "architecture": "unknown"}
        return self.add(json.dumps(document).encode(), f"{OCI}.manifest.v1+json", annotations=notes, platform=unknown)

    def index(self, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
        document = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": list(entries)}
        return self.add(json.dumps(document).encode(), f"{OCI}.index.v1+json")

    def top(self, *entries: dict[str, Any]) -> None:
        document = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": list(entries)}
        self.files["index.json"] = json.dumps(document).encode()


def named(entry: dict[str, Any], name: str) -> dict[str, Any]:
    """The entry with the annotations by which containerd and BuildKit name it; `name` is a full reference."""
    notes = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    return {**{key: value for key, value in entry.items() if key != "platform"}, "annotations": notes}


def buildx_oci(name: str, *images: Built, attested: bool = True) -> bytes:
    """`docker buildx build --platform … --output type=oci` (BuildKit 0.25): one index, with provenance."""
    layout = Layout()
    entries = [layout.image(image) for image in images]
    statements = [layout.attestation(entry) for entry in entries] if attested else []
    layout.top(named(layout.index(entries + statements), name))
    return tree(layout.files)


def buildx_docker(name: str, image: Built) -> bytes:
    """`docker buildx build --output type=docker` (BuildKit 0.25): an OCI layout that has `manifest.json`."""
    layout = Layout()
    layout.top(named(layout.image(image), name))
    item = {
        "Config": _blob(image.config), "RepoTags": [name.removeprefix("docker.io/library/")],
        "Layers": [_blob(layer) for layer in image.packed],
    }  # fmt: skip
    return tree({**layout.files, "manifest.json": json.dumps([item]).encode()})


def docker_save(name: str, image: Built) -> bytes:
    """`docker save` of Docker 25 and later with its classic store: plain layers in an OCI layout."""
    layout = Layout()
    layout.top(named(layout.image(image, compressed=False), name))
    familiar = name.removeprefix("docker.io/library/")
    layers = [_blob(layer) for layer in image.layers]
    item = {"Config": _blob(image.config), "RepoTags": [familiar], "Layers": layers}
    repositories = {familiar.rpartition(":")[0]: {"1": hexadecimal(image.layers[-1])}}
    more = {"manifest.json": json.dumps([item]).encode(), "repositories": json.dumps(repositories).encode()}
    return tree({**layout.files, **more})


def kaniko(name: str, image: Built) -> bytes:
    """`executor --tarPath` (go-containerregistry's tarball writer): `sha256:…` and `….tar.gz`, no directories."""
    files = {digest(image.config): image.config}
    files |= {f"{hexadecimal(layer)}.tar.gz": layer for layer in image.packed}
    layers = [f"{hexadecimal(layer)}.tar.gz" for layer in image.packed]
    item = {"Config": digest(image.config), "RepoTags": [name], "Layers": layers}
    return tree({**files, "manifest.json": json.dumps([item]).encode()})


def podman_docker(name: str, image: Built) -> bytes:
    """`podman save`, `skopeo copy … docker-archive:` (containers/image): plain tars, and the directories of old."""
    files = {f"{hexadecimal(layer)}.tar": layer for layer in image.layers}
    files[f"{hexadecimal(image.config)}.json"] = image.config
    layers = list(files)[: len(image.layers)]
    item = {"Config": f"{hexadecimal(image.config)}.json", "RepoTags": [name], "Layers": layers}
    repositories = {name.rpartition(":")[0]: {"1": hexadecimal(image.layers[-1])}}
    files |= {"manifest.json": json.dumps([item]).encode(), "repositories": json.dumps(repositories).encode()}
    buffer = io.BytesIO(tree(files))
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        for layer in image.layers:
            link = tarfile.TarInfo(f"{hexadecimal(layer)}/layer.tar")
            link.type, link.linkname = tarfile.SYMTYPE, f"../{hexadecimal(layer)}.tar"
            tar.addfile(link)
    return buffer.getvalue()


def podman_oci(name: str, image: Built) -> bytes:
    """`podman save --format oci-archive`, `skopeo copy … oci-archive:FILE:NAME`: the name is the whole annotation."""
    layout = Layout()
    entry = {key: value for key, value in layout.image(image).items() if key != "platform"}
    layout.top({**entry, "annotations": {"org.opencontainers.image.ref.name": name}})
    return tree(layout.files)


def _blob(data: bytes) -> str:
    return f"blobs/sha256/{hexadecimal(data)}"
