"""S16: a manifest is what its media type says, a digest is checked before it is a path, a wrong byte leaves nothing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from sampan.engine.pull import PullRequest, pull
from sampan.errors import SampanError
from sampan.oci import manifest as manifests
from sampan.oci import reference

from ..support.imagehost import Host, layer_tar
from ..support.registries import serving

LAYER = layer_tar({"x": os.urandom(50_000)})
CONFIG = json.dumps({
    "architecture": "amd64", "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(LAYER).hexdigest()]},
}).encode()  # fmt: skip


def part(kind: str, data: bytes) -> dict[str, object]:
    return {"mediaType": kind, "digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data)}


IMAGE = {
    "schemaVersion": 2, "mediaType": manifests.OCI_MANIFEST, "config": part(manifests.OCI_CONFIG, CONFIG),
    "layers": [part(manifests.OCI_LAYER, LAYER)],
}  # fmt: skip


@asynccontextmanager
async def lying_registry(document: object, blobs: dict[str, bytes], content_type: str) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.Response:
        if "/manifests/" in request.path:
            return web.Response(body=json.dumps(document).encode(), headers={"Content-Type": content_type})
        if "/blobs/" in request.path:
            return web.Response(body=blobs.get(request.path.rpartition("/")[2], b"?"))
        return web.Response()

    async with serving(handle) as address:
        yield address


def blobs(layer: bytes = LAYER, config: bytes = CONFIG) -> dict[str, bytes]:
    return {str(part("", CONFIG)["digest"]): config, str(part("", LAYER)["digest"]): layer}


async def attempt(tmp_path: Path, document: object, content: dict[str, bytes], kind: str) -> Host:
    host = Host(tmp_path)
    async with lying_registry(document, content, kind) as address:
        await pull(host, PullRequest(reference.parse(f"{address}/x")), lambda _: None)
    return host


async def test_s16_the_honest_image_comes(tmp_path: Path) -> None:
    host = await attempt(tmp_path, IMAGE, blobs(), manifests.OCI_MANIFEST)
    assert len(host.images.all()) == 1


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"manifests": []}, manifests.OCI_MANIFEST),
        ({}, manifests.OCI_INDEX),
        ({}, manifests.DOCKER_MANIFEST),
        ({"mediaType": manifests.OCI_INDEX}, manifests.OCI_INDEX),
        ({"layers": [{**part(manifests.OCI_LAYER, LAYER), "digest": "sha256:../../x"}]}, manifests.OCI_MANIFEST),
        ({"config": {**part(manifests.OCI_CONFIG, CONFIG), "digest": "../x"}}, manifests.OCI_MANIFEST),
        ({"config": part("application/vnd.cncf.helm.config.v1+json", CONFIG)}, manifests.OCI_MANIFEST),
        ({"layers": [{**part(manifests.OCI_LAYER, LAYER), "urls": ["http://elsewhere"]}]}, manifests.OCI_MANIFEST),
        ({"layers": []}, manifests.OCI_MANIFEST),
        ({"layers": [{**part(manifests.OCI_LAYER, LAYER), "size": 5}]}, manifests.OCI_MANIFEST),
        ({"layers": [{**part(manifests.OCI_LAYER, LAYER), "size": 1 << 40}]}, manifests.OCI_MANIFEST),
    ],
)  # fmt: skip
async def test_s16_a_manifest_that_lies_is_refused(tmp_path: Path, change: dict[str, object], kind: str) -> None:
    with pytest.raises(SampanError):
        await attempt(tmp_path / "a", {**IMAGE, **change}, blobs(), kind)
    left = Host(tmp_path / "a")
    assert not left.images.all()
    assert not left.snapshots.layers


@pytest.mark.parametrize("wrong", ["layer", "config", "diff-id"])
async def test_s16_wrong_bytes_leave_nothing(tmp_path: Path, wrong: str) -> None:
    flipped = LAYER[:-1] + bytes([LAYER[-1] ^ 1])
    content = {"layer": blobs(layer=flipped), "config": blobs(config=CONFIG[:-1] + b" ")}.get(wrong, blobs())
    document: dict[str, object] = IMAGE
    if wrong == "diff-id":  # blob and manifest agree, the configuration promises other content
        document = {**IMAGE, "layers": [part(manifests.OCI_LAYER, flipped)]}
        content = {**blobs(), str(part("", flipped)["digest"]): flipped}
    with pytest.raises(SampanError, match="sha256:"):
        await attempt(tmp_path / "a", document, content, manifests.OCI_MANIFEST)
    left = Host(tmp_path / "a")
    assert not left.images.all()
    assert not left.snapshots.layers
    assert not left.store.list_partial()
    kept = dict(left.store.walk())
    assert str(part("", LAYER)["digest"]) not in kept
    if wrong != "diff-id":
        assert not {str(part("", bad)["digest"]) for bad in (flipped, CONFIG[:-1] + b" ")} & set(kept)


@pytest.mark.parametrize("claimed", ["", manifests.OCI_MANIFEST, manifests.OCI_INDEX])
@pytest.mark.parametrize("said", [None, manifests.OCI_MANIFEST, manifests.OCI_INDEX])
@pytest.mark.parametrize("part", ["layers", "config"])
def test_s16_a_document_of_both_kinds_is_refused(claimed: str, said: str | None, part: str) -> None:
    """CVE-2021-41190: one reader would take it for an index, another for a manifest."""
    document = {"schemaVersion": 2, "manifests": [], part: IMAGE[part], **({"mediaType": said} if said else {})}
    with pytest.raises(SampanError):
        manifests.parse(json.dumps(document).encode(), claimed)
