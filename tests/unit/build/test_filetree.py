"""A context in memory is what unpacking its archive would have made."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import tempfile
from pathlib import Path

import pytest

from sampan.build.context import spread
from sampan.build.filetree import FileTree, Pack, read_archive
from sampan.build.selecting import digest
from sampan.build.sources import DiskTree
from sampan.errors import InvalidArgument
from sampan.tree.extract import ExtractOptions, extract

Member = tuple[str, bytes, str]
"""Name, type, and contents or the target of a link."""


def _tar(members: list[Member]) -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = kind, 0o755 if kind == tarfile.DIRTYPE else 0o640, 1000
            if kind == tarfile.REGTYPE:
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
            else:
                info.linkname = text
                archive.addfile(info)
    out.seek(0)
    return out


def _read(members: list[Member], directory: Path) -> FileTree:
    with tempfile.TemporaryFile(dir=directory) as spool:
        return read_archive(_tar(members), Pack(os.dup(spool.fileno())))


FILE, DIR, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
ARCHIVES: list[list[Member]] = [
    [("a", FILE, "1"), ("d", DIR, ""), ("d/b", FILE, "2"), ("d/c", LINK, "../a")],
    [("implicit/parents/f", FILE, "x")],
    [("f", FILE, "first"), ("f", FILE, "second")],
    [("f", FILE, "file"), ("f", DIR, ""), ("f/g", FILE, "below")],
    [("d", DIR, ""), ("d/g", FILE, "gone"), ("d", FILE, "file")],
    [("d", DIR, ""), ("d/g", FILE, "stays"), ("d", DIR, "")],
    [("f", FILE, "file"), ("f/g", FILE, "its parent gives way")],
    [("d", DIR, ""), ("l", LINK, "d"), ("l/f", FILE, "through a link")],
    [("d", DIR, ""), ("l", LINK, "/d/../d"), ("l/e/f", FILE, "through an absolute one")],
    [("l", LINK, "/etc"), ("l/f", FILE, "a link that leads nowhere inside")],
    [("l", LINK, "../../.."), ("l/f", FILE, "no way out")],
    [("a", FILE, "1"), ("b", HARD, "a"), ("c", HARD, "b")],
    [("a", FILE, "1"), ("b", HARD, "a"), ("a", FILE, "2")],
    [("d/../e", FILE, "lexical"), ("./f", FILE, "1"), ("/g", FILE, "2")],
    [("big", FILE, "x" * 3_000_000), ("after", FILE, "y")],
]


@pytest.mark.parametrize("members", ARCHIVES)
def test_as_unpacked(members: list[Member], tmp_path: Path) -> None:
    for name in ("unpacked", "spread"):
        (tmp_path / name).mkdir()
    fd = os.open(tmp_path / "unpacked", os.O_RDONLY)
    extract(fd, _tar(members), ExtractOptions(owner=(0, 0)))
    os.close(fd)
    files = _read(members, tmp_path)
    spread(files, str(tmp_path / "spread"))
    assert _shown(tmp_path / "spread") == _shown(tmp_path / "unpacked")
    with DiskTree(str(tmp_path / "unpacked"), keep_owner=False) as tree:
        assert digest(files, ["."]) == digest(tree, ["."]), "the same key, whichever way the files came"


def _shown(directory: Path) -> list[tuple[str, int, int, str]]:
    found = []
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        regular = stat.S_ISREG(status.st_mode)
        text = os.readlink(path) if path.is_symlink() else path.read_text() if regular else ""
        found.append((str(path.relative_to(directory)), status.st_mode, status.st_nlink * regular, text))
    return found


@pytest.mark.parametrize(
    "members", [[("../f", FILE, "")], [("a", HARD, "missing")], [(".", FILE, "")], [("l", LINK, "")], [("a", b"9", "")]]
)
def test_refuses(members: list[Member], tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument):
        _read(members, tmp_path)


def test_links_are_followed_inside(tmp_path: Path) -> None:
    members = [("d", DIR, ""), ("d/f", FILE, "1"), ("l", LINK, "/d"), ("m", LINK, "../../l/f"), ("o", LINK, "o")]
    tree = _read(members, tmp_path)
    assert tree.resolve("m") == "d/f" and tree.resolve("/l/") == "d" and tree.resolve("l/../d") == "d"
    for path, error in (("x", FileNotFoundError), ("m/x", NotADirectoryError), ("o", OSError)):
        with pytest.raises(error):
            tree.resolve(path)
    assert tree.names("l") == ["f"] and stat.S_ISREG(tree.file("d/f").mode)
    tree.drop("d/f")
    assert tree.names("d") == []
