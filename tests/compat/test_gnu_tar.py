"""GNU tar writes, we read: sparse files in all its formats; we write, GNU tar reads."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from sampan.storage import whole_tree
from sampan.tree.extract import ExtractOptions, extract


@pytest.mark.parametrize(
    "format", ["gnu", "pax --sparse-version=0.0", "pax --sparse-version=0.1", "pax --sparse-version=1.0"]
)
def test_sparse_files(format: str, tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    target.mkdir()
    with open(source / "holes", "wb") as file:
        for block in range(0, 200, 2):  # more extents than one header has room for
            file.seek(block * 65536)
            file.write(os.urandom(4096))
        file.truncate(200 * 65536)
    kind, *options = format.split()
    command = ["tar", "-C", source, "-S", f"--format={kind}", *options, "-cf", tmp_path / "tar", "."]
    subprocess.run(command, check=True)
    fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    with open(tmp_path / "tar", "rb") as stream:
        extract(fd, stream, ExtractOptions())
    os.close(fd)
    assert (target / "holes").read_bytes() == (source / "holes").read_bytes()
    assert (target / "holes").stat().st_blocks * 512 < 2 << 20


def test_gnu_tar_reads_ours(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    (source / ("d" * 150)).mkdir(parents=True)
    target.mkdir()
    (source / ("d" * 150) / ("ü" * 100)).write_bytes(b"data")
    fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    data = b"".join(whole_tree(fd))
    os.close(fd)
    subprocess.run(["tar", "-C", target, "-x"], input=io.BytesIO(data).read(), check=True)
    assert (target / ("d" * 150) / ("ü" * 100)).read_bytes() == b"data"
