"""Archives of every tool load alike: the same image, under the same name."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support import archives
from tests.support.archives import Built
from tests.support.imagehost import Host, body

from sampan.engine import images as use
from sampan.errors import InvalidArgument
from sampan.image import variants
from sampan.image.archive import Archive
from sampan.oci.platform import parse as platform

IMAGE = Built([archives.tree({"etc/deep/f": b"lower"}), archives.tree({"etc/deep/g": b"upper"})])
NAME = "docker.io/library/box:1"
PACKERS = (
    archives.buildx_oci, archives.buildx_docker, archives.docker_save, archives.kaniko, archives.podman_docker,
    archives.podman_oci,
)  # fmt: skip


@pytest.mark.parametrize("pack", PACKERS)
async def test_an_archive_gives_the_image(tmp_path: Path, pack: Callable[[str, Built], bytes]) -> None:
    host = Host(tmp_path)
    await use.load(host, body(pack(NAME, IMAGE)), lambda _: None)
    (image,) = host.images.all()
    assert (image.id, image.repo_tags) == (archives.digest(IMAGE.config), ["box:1"])
    assert [sorted(host.snapshots.layers[layer.chain_id]) for layer in image.layers] == [["etc/deep/f"], ["etc/deep/g"]]
    kept = [layer.descriptor.digest for layer in image.layers]
    is_plain = pack in (archives.docker_save, archives.podman_docker)
    assert is_plain or kept == [archives.digest(blob) for blob in IMAGE.packed]


async def test_every_platform_that_an_archive_has_comes_in(tmp_path: Path) -> None:
    host = Host(tmp_path)
    arm = Built([archives.tree({"f": b"arm"})], "linux/arm64")
    await use.load(host, body(archives.buildx_oci(NAME, arm, IMAGE)), lambda _: None)
    assert host.images.get("box:1").id == archives.digest(IMAGE.config)
    assert use.inspect(host, "box:1", platform("linux/arm64")).id == archives.digest(arm.config)
    index = variants.index_of(host.images, host.images.get("box:1"))
    assert index is not None and index.whole and len(index.attestations) == 2


def test_headers_that_are_made_to_harm_are_refused(tmp_path: Path) -> None:
    """A long name upon a long name, and so on: tarfile follows them by recursion."""
    link = tarfile.TarInfo("././@LongLink")
    link.type, link.size = tarfile.GNUTYPE_LONGNAME, 512
    (tmp_path / "bomb").write_bytes((link.tobuf(tarfile.GNU_FORMAT) + bytes(512)) * 5000)
    with open(tmp_path / "bomb", "rb") as file, pytest.raises(InvalidArgument, match="invalid archive"):
        Archive(file)
