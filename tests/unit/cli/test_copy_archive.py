"""What a hostile container may send to `sampan cp`: nothing leaves the destination."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from sampan.cli.build_archive import Context, IgnoreRules
from sampan.cli.build_context import entries, ignore_rules
from sampan.cli.command import CommandFailed
from sampan.cli.copy_archive import Packing, extract, extract_matching


def archive(*members: tuple[str, bytes, str | bytes]) -> list[bytes]:
    """Of (name, tar type, content or link target), in pieces of 100 bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
            if isinstance(content, str):
                member.linkname = content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    data = out.getvalue()
    return [data[at : at + 100] for at in range(0, len(data), 100)]


FILE, DIRECTORY, LINK, HARD = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


def test_top_is_renamed_or_removed(tmp_path: Path) -> None:
    chunks = archive(("d/", DIRECTORY, b""), ("d/f", FILE, b"F"), ("d/h", HARD, "d/f"), ("d/l", LINK, "f"))
    assert extract(chunks, str(tmp_path), "new", False) == 1
    assert (tmp_path / "new/f").read_text() == "F"
    assert (tmp_path / "new/h").stat().st_ino == (tmp_path / "new/f").stat().st_ino
    assert os.readlink(tmp_path / "new/l") == "f"
    extract(chunks, str(tmp_path), "", False)
    assert (tmp_path / "f").read_text() == "F"


@pytest.mark.parametrize(
    "members",
    [
        [("d/../../escaped", FILE, b"x")],
        [("d/", DIRECTORY, b""), ("d/up", LINK, "../.."), ("d/up/escaped", FILE, b"x")],
        [("d/", DIRECTORY, b""), ("d/abs", LINK, "{outside}"), ("d/abs/escaped", FILE, b"x")],
        [("d/", DIRECTORY, b""), ("d/up", LINK, "{outside}"), ("d/up", DIRECTORY, b""), ("d/up/escaped", FILE, b"x")],
        [("d/", DIRECTORY, b""), ("d/h", HARD, "d/../../canary")],
        [("d/", DIRECTORY, b""), ("d/c", LINK, "{outside}/canary"), ("d/c", FILE, b"overwritten")],
    ],
)
def test_nothing_leaves_the_destination(tmp_path: Path, members: list[tuple[str, bytes, str | bytes]]) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "canary").write_text("alive")
    filled = [
        (name, kind, text.format(outside=outside) if isinstance(text, str) else text) for name, kind, text in members
    ]
    try:
        extract(archive(*filled), str(inside), "d", False)
    except CommandFailed:
        pass  # refusing is as good as placing it inside
    assert [path.name for path in outside.iterdir()] == ["canary"]
    assert (outside / "canary").read_text() == "alive"
    assert (outside / "canary").stat().st_nlink == 1
    assert not list(tmp_path.glob("**/escaped"))


def test_patterns_choose_first_level_names(tmp_path: Path) -> None:
    chunks = archive(
        ("d/", DIRECTORY, b""),
        ("d/a.log", FILE, b"A"),
        ("d/b", FILE, b"B"),
        ("d/x.log/", DIRECTORY, b""),
        ("d/x.log/in", FILE, b"I"),
    )
    size, found = extract_matching(chunks, str(tmp_path), lambda name: name.endswith(".log"), False)
    assert (size, found) == (2, True)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["a.log", "x.log", "x.log/in"]


def test_a_cut_archive_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="unpacking the archive failed"):
        extract(archive(("d/f", FILE, b"x" * 5000))[:20], str(tmp_path), "d", False)


def test_packing_and_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s/f").write_bytes(b"x" * 200_000)
    packing = Packing(str(tmp_path / "s"), "n", False)
    with tarfile.open(fileobj=io.BytesIO(b"".join(packing.chunks()))) as tar:
        assert tar.getnames() == ["n", "n/f"]
        assert {(member.uid, member.uname) for member in tar} == {(0, "")}
    assert packing.size == 200_000
    with pytest.raises(CommandFailed, match="No such file"):
        list(Packing(str(tmp_path / "none"), "n", False).chunks())


def test_context_leaves_out_what_is_ignored(tmp_path: Path) -> None:
    for name in ("Dockerfile", "a.log", "keep.log", "dir/x.log", "dir/y", "deep/er/z"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / ".dockerignore").write_text("**/*.log\n!keep.log\ndeep\nDockerfile\n")
    found = list(entries(str(tmp_path), ignore_rules(str(tmp_path), "Dockerfile")))
    assert found == [".dockerignore", "Dockerfile", "dir", "keep.log", "dir/y"]
    (tmp_path / "Dockerfile.dockerignore").write_text("dir\n")
    assert "a.log" in entries(str(tmp_path), ignore_rules(str(tmp_path), "Dockerfile"))
    packed = b"".join(Context(str(tmp_path), IgnoreRules(["*"]), {"extra": b"E"}).chunks())
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames() == ["extra"]
