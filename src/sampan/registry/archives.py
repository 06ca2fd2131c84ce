"""Ends of a copy that are single files: `oci-archive:FILE[:TAG]` and `docker-archive:FILE[:NAME:TAG]`.

Both pass through an OCI layout in the scratch directory. Of a tar nothing is extracted by name: every member that is
wanted becomes a blob under its own digest.
"""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
from typing import BinaryIO

import msgspec
from msgspec import Struct

from ..cas import Store
from ..cas.compression import CHUNK, detect
from ..errors import InvalidArgument, NotFound
from ..oci import digest as digests
from ..oci import manifest as manifests
from ..oci import platform as platforms
from ..oci import reference
from ..oci.manifest import Descriptor, Index, Manifest

REF_NAME = "org.opencontainers.image.ref.name"
_MAX_LINKS = 8
_LAYERS = {"": manifests.OCI_LAYER, "gzip": manifests.OCI_LAYER_GZIP, "zstd": manifests.OCI_LAYER_ZSTD}


class _Item(Struct, rename="pascal"):
    """One image of `manifest.json`."""

    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


class Unpacked:
    """An archive's members, by normalised name; hard and symbolic links are followed within it."""

    def __init__(self, path: str) -> None:
        try:
            self._tar = tarfile.open(path, "r:*")
            self._members = {posixpath.normpath(member.name): member for member in self._tar}
        except (tarfile.TarError, ValueError, ArithmeticError, RecursionError) as error:
            raise InvalidArgument(f"{path} is no archive: {error}") from error

    def open(self, name: str) -> BinaryIO:
        """A member's content; raises NotFound."""
        path = posixpath.normpath(name)
        for _ in range(_MAX_LINKS):
            member = self._members.get(path)
            if member is None or not (member.issym() or member.islnk()):
                break
            base = posixpath.dirname(path) if member.issym() else ""
            path = posixpath.normpath(posixpath.join(base, member.linkname))
        file = self._tar.extractfile(member) if member is not None and member.isreg() else None
        if file is None:
            raise NotFound(f"the archive has no file {name}")
        return file  # type: ignore[return-value]  # a buffered reader

    def read(self, name: str) -> bytes:
        """A small member."""
        with self.open(name) as file:
            data = file.read(manifests.MAX_MANIFEST_SIZE + 1)
        if len(data) > manifests.MAX_MANIFEST_SIZE:
            raise InvalidArgument(f"{name} is larger than {manifests.MAX_MANIFEST_SIZE} bytes")
        return data

    def blobs(self) -> list[str]:
        """Names of the members of an OCI layout's `blobs`."""
        return [name for name in self._members if name.startswith("blobs/")]

    def close(self) -> None:
        """Let go of the file."""
        self._tar.close()


def unpack_layout(path: str, directory: str) -> None:
    """An oci-archive as a layout; blobs are verified."""
    archive, store = Unpacked(path), Store(directory, f"{directory}/tmp")
    try:
        for name in archive.blobs():
            digest = ":".join(name.split("/")[1:])
            if digests.is_digest(digest):
                _keep(archive, name, store, digest)
        _write_index(directory, archive.read("index.json"))
    finally:
        archive.close()


def unpack_docker(path: str, directory: str, name: str) -> None:
    """A docker-archive as a layout with one image, tagged with nothing; layers keep their bytes."""
    archive, store = Unpacked(path), Store(directory, f"{directory}/tmp")
    try:
        item = _chosen(archive.read("manifest.json"), name)
        config = manifests.describe(archive.read(item.config), manifests.OCI_CONFIG)
        store.add(archive.read(item.config), config.digest)
        layers = [_layer(archive, member, store) for member in item.layers]
        data = manifests.encode(Manifest(2, config, layers, media_type=manifests.OCI_MANIFEST))
        entry = Descriptor(manifests.OCI_MANIFEST, store.add(data), len(data))
        _write_index(directory, manifests.encode(Index(2, [entry], media_type=manifests.OCI_INDEX)))
    finally:
        archive.close()


def _chosen(data: bytes, name: str) -> _Item:
    try:
        items = msgspec.json.decode(data, type=list[_Item])
    except msgspec.MsgspecError as error:
        raise InvalidArgument(f"invalid manifest.json: {error}") from error
    wanted = reference.parse(name).with_default_tag() if name else None
    found = [
        item
        for item in items
        if wanted is None or wanted in [reference.parse(tag).with_default_tag() for tag in item.repo_tags or ()]
    ]
    if len(found) != 1:
        raise NotFound(f"the archive has {len(found)} images {f'named {name}' if name else '(name one of them)'}")
    return found[0]


def _layer(archive: Unpacked, member: str, store: Store) -> Descriptor:
    with archive.open(member) as file:
        kind = _LAYERS.get(detect(file.read(6)), "")
    if not kind:
        raise InvalidArgument(f"layer {member} is compressed in a way that no registry takes")
    digest, size = _keep(archive, member, store, None)
    return Descriptor(kind, digest, size)


def _keep(archive: Unpacked, member: str, store: Store, expected: str | None) -> tuple[str, int]:
    with archive.open(member) as file, store.writer(expected) as writer:
        while chunk := file.read(CHUNK):
            writer.write(chunk)
        return writer.commit()


def _write_index(directory: str, data: bytes) -> None:
    with open(f"{directory}/index.json", "wb") as file:
        file.write(data)


def pack(directory: str, path: str, name: str, *, docker: bool) -> None:
    """A layout as one tar; with `docker` also `manifest.json`, so that any `docker load` takes it."""
    store = Store(directory, f"{directory}/tmp")
    with open(f"{directory}/index.json", "rb") as file:
        documents = {"index.json": file.read(), "oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
    if docker:
        documents["manifest.json"] = msgspec.json.encode([_item(store, documents["index.json"], name)])
    with tarfile.open(f"{path}.new", "w") as tar:
        for digest, size in sorted(store.walk()):
            member = tarfile.TarInfo(digests.blob_path(digest))
            member.size = size
            with store.open(digest) as blob:
                tar.addfile(member, blob)
        for document, data in documents.items():
            member = tarfile.TarInfo(document)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    os.rename(f"{path}.new", path)


def _item(store: Store, index: bytes, name: str) -> _Item:
    """What readers without indexes get: the image, of several platforms that of this host."""
    document: Index | Manifest = manifests.parse(index)
    while isinstance(document, Index):
        entries = document.manifests
        ranked = [
            (rank, position)
            for position, entry in enumerate(entries)
            if (rank := platforms.rank(platforms.host(), entry.platform or platforms.host())) is not None
        ]
        if not ranked:
            raise NotFound(f"the index has no image for {platforms.host()}")
        document = manifests.parse(store.read(entries[min(ranked)[1]].digest, manifests.MAX_MANIFEST_SIZE))
    tags = [reference.parse(name).with_default_tag().familiar] if name else None
    return _Item(
        digests.blob_path(document.config.digest), [digests.blob_path(layer.digest) for layer in document.layers], tags
    )
