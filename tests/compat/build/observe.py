"""What an image is, in a form in which two engines' images can be compared: from what `docker save` gives."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any

Tree = dict[str, str]
_CONFIG = (
    "User", "Env", "Cmd", "Entrypoint", "Labels", "WorkingDir", "Volumes", "ExposedPorts", "Healthcheck", "StopSignal",
    "Shell", "OnBuild",
)  # fmt: skip


def observe(archive: bytes, base_layers: int) -> dict[str, Any]:
    """Configuration, history above the base's, and the tree as far as it differs from the base's tree."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        manifest = json.load(_member(tar, "manifest.json"))[0]
        document = json.load(_member(tar, manifest["Config"]))
        layers = [_member(tar, name).read() for name in manifest["Layers"]]
    base = _flatten(layers[:base_layers])
    final = _flatten(layers)
    history = document.get("history") or []
    return {
        "config": {name: document["config"][name] for name in _CONFIG if document["config"].get(name)},
        "author": document.get("author", ""),
        "platform": [document["os"], document["architecture"]],
        "history": [[line.get("created_by", ""), line.get("empty_layer", False)] for line in history[base_layers:]],
        "tree": {path: entry for path, entry in sorted(final.items()) if base.get(path) != entry},
        "removed": sorted(base.keys() - final.keys()),
    }


def _member(tar: tarfile.TarFile, name: str) -> Any:
    found = tar.extractfile(name)
    assert found is not None
    return found


def _flatten(layers: list[bytes]) -> Tree:
    tree: Tree = {}
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            members = tar.getmembers()
            added = {}
            for member in members:
                path = member.name.removeprefix("./").strip("/")
                above, _, name = path.rpartition("/")
                if name == ".wh..wh..opq":
                    _drop(tree, above, itself=False)
                elif name.startswith(".wh."):
                    _drop(tree, f"{above}/{name[4:]}".lstrip("/"), itself=True)
                else:
                    added[path] = _entry(tar, member, added, tree)
            for path, entry in added.items():
                if path in tree and not entry.startswith("dir"):
                    _drop(tree, path, itself=True)
                tree[path] = entry
    tree.pop("", None)
    tree.pop(".", None)
    return tree


def _drop(tree: Tree, path: str, *, itself: bool) -> None:
    for one in [one for one in tree if one.startswith(f"{path}/") or (itself and one == path)]:
        del tree[one]


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo, added: Tree, tree: Tree) -> str:
    if member.islnk():
        origin = member.linkname.removeprefix("./").strip("/")
        return added.get(origin) or tree[origin]
    owner = f"{member.mode & 0o7777:o} {member.uid}:{member.gid}"
    attributes = sorted(f"{name}={value}" for name, value in member.pax_headers.items() if "xattr" in name)
    if member.isdir():
        kind = "dir"
    elif member.issym():
        return f"link {member.uid}:{member.gid} -> {member.linkname}"
    elif member.isfile():
        file = tar.extractfile(member)
        assert file is not None
        kind = f"file {hashlib.sha256(file.read()).hexdigest()[:16]}"
    else:
        kind = f"special {member.type!r} {member.devmajor},{member.devminor}"
    return " ".join([kind, owner, *attributes])
