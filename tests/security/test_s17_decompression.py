"""S17: what a layer may grow to is bounded, and memory stays flat however it is packed."""

from __future__ import annotations

import gzip
import resource
import tarfile
from pathlib import Path

import pytest
import zstandard

from sampan.cas.compression import Limits
from sampan.engine import images as use
from sampan.errors import InvalidArgument
from sampan.image.images import Images
from sampan.image.importing import ImportOptions
from sampan.oci.platform import parse as platform

from ..support.imagehost import Host, body


def bomb(size: int) -> bytes:
    head = tarfile.TarInfo("zeroes")
    head.size = size
    return head.tobuf() + bytes(size)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
async def test_s17_a_layer_that_expands_too_much_is_refused_and_leaves_nothing(tmp_path: Path, pack: object) -> None:
    host = Host(tmp_path)
    limits = Limits(max_bytes=1 << 40, max_ratio=50, ratio_floor=1 << 20)
    host.images = Images(host.db, host.store, host.snapshots, limits)
    packed = pack(bomb(64 << 20))  # type: ignore[operator]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidArgument, match="expands more than 50 times"):
        await use.import_image(host, body(packed), ImportOptions(platform("linux/amd64")), None)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10
    assert not list(host.store.walk())
    assert not host.snapshots.layers


def test_s17_there_are_bounds_where_none_are_configured() -> None:
    assert Limits().max_ratio < 1032, "deflate's own maximum"
    assert Limits().max_bytes <= 1 << 40


async def test_s17_a_layer_that_is_too_big_is_refused(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.images = Images(host.db, host.store, host.snapshots, Limits(max_bytes=1 << 20))
    with pytest.raises(InvalidArgument, match="larger than"):
        await use.import_image(host, body(gzip.compress(bomb(4 << 20))), ImportOptions(platform("linux/amd64")), None)
    assert not list(host.store.walk())


async def test_s17_an_archive_of_endless_members_is_refused(tmp_path: Path) -> None:
    endless = tarfile.TarInfo("x").tobuf() * 100_002
    with pytest.raises(InvalidArgument, match="more than 100000 members"):
        await use.load(Host(tmp_path), body(endless, 1 << 20), lambda _: None)
