"""`image squash`: all layers of an archive's image become one; what upper layers hid is gone for good."""

from __future__ import annotations

import io
import json
import tarfile
from collections import defaultdict
from typing import IO, Any, cast

from ..cas.compression import Decompressed, Hashed, ReadAhead
from ..oci import digest as digests
from .archive import Archive, ArchivedImage
from .contents import Entry, LayerContents, read_layers


def survivors(layers: list[LayerContents]) -> list[dict[str, Entry]]:
    """For every layer the entries that the topmost view still shows."""
    hidden: set[str] = set()
    hidden_trees: set[str] = set()
    found: list[dict[str, Entry]] = []
    for layer in reversed(layers):
        kept = {
            entry.path: entry
            for entry in layer.entries
            if entry.path not in hidden and not _below(entry.path, hidden_trees)
        }
        found.append(kept)
        hidden.update(entry.path for entry in layer.entries)
        # A file or link in place of a directory hides what the directory held.
        hidden_trees.update(entry.path for entry in layer.entries if entry.kind != "directory")
        hidden.update(layer.removed)
        hidden_trees.update(layer.removed)
        hidden_trees.update(layer.opaque)
    return found[::-1]


def _below(path: str, trees: set[str]) -> bool:
    parent = path.rpartition("/")[0]
    while parent:
        if parent in trees:
            return True
        parent = parent.rpartition("/")[0]
    return False


def squash(archive: Archive, image: ArchivedImage, names: list[str], target: IO[bytes], scratch: IO[bytes]) -> None:
    """Write a docker-archive with the one layer to `target`; `scratch` is an empty file for the layer."""
    kept = survivors(read_layers(archive, image, []))
    with tarfile.open(fileobj=scratch, mode="w", format=tarfile.PAX_FORMAT) as out:
        for name, entries in zip(image.layers, kept, strict=True):
            _copy(archive, name, entries, out)
    scratch.flush()
    scratch.seek(0)
    hashed = Hashed(scratch)
    hashed.drain()
    scratch.seek(0)
    _write(target, scratch, hashed, _config(image.config, hashed.digest), names)


def _copy(archive: Archive, name: str, kept: dict[str, Entry], out: tarfile.TarFile) -> None:
    heirs: dict[str, str] = {}
    links = _links(archive, name, kept)
    with ReadAhead(Decompressed(archive.open(name))) as stream, _stream(stream) as tar:
        for member in tar:
            path = member.name.strip("/").removeprefix("./")
            if path not in kept and path in links:
                heirs[path] = links[path][0]
                path = heirs[path]  # the name goes, the content lives on under a link's name
            elif path not in kept or path in heirs.values():
                continue
            member.name = path
            if member.islnk():
                old = member.linkname.strip("/").removeprefix("./")
                member.linkname = heirs.get(old, old)
            out.addfile(member, tar.extractfile(member) if member.isreg() else None)


def _stream(stream: ReadAhead) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|")


def _links(archive: Archive, name: str, kept: dict[str, Entry]) -> dict[str, list[str]]:
    """Hard links of a layer that stay, by the name that they point at."""
    found: dict[str, list[str]] = defaultdict(list)
    with ReadAhead(Decompressed(archive.open(name))) as stream, _stream(stream) as tar:
        for member in tar:
            path = member.name.strip("/").removeprefix("./")
            if member.islnk() and path in kept:
                found[member.linkname.strip("/").removeprefix("./")].append(path)
    return found


def _config(data: bytes, diff_id: str) -> bytes:
    document: dict[str, Any] = json.loads(data)
    history = document.get("history") or []
    document["rootfs"] = {"type": "layers", "diff_ids": [diff_id]}
    document["history"] = [{**entry, "empty_layer": True} for entry in history]
    document["history"].append({"created": document.get("created"), "comment": "squashed"})
    return json.dumps(document).encode()


def _write(target: IO[bytes], layer: IO[bytes], hashed: Hashed, config: bytes, names: list[str]) -> None:
    config_name = f"{digests.encoded(digests.of_bytes(config))}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": names, "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(fileobj=target, mode="w") as tar:
        member = tarfile.TarInfo("layer.tar")
        member.size = hashed.size
        tar.addfile(member, layer)
        for name, data in ((config_name, config), ("manifest.json", manifest)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
