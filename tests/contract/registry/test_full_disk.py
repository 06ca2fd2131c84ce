"""Our registry on a disk that takes a part of what is written, and no more."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from sampan.registry.server.storage import RegistryStorage

DIGEST = "sha256:" + "0" * 64


def test_a_tag_that_is_cut_off_is_none(tmp_path: Path) -> None:
    storage = RegistryStorage(str(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))  # write(2) takes 8 bytes, then says EFBIG
    try:
        with pytest.raises(OSError, match="File too large"):
            storage.put_tag("name", "latest", DIGEST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert storage.tags("name") == []
    assert not list((tmp_path / "tmp").iterdir())
    storage.put_tag("name", "latest", DIGEST)
    assert storage.tags("name") == ["latest"]
