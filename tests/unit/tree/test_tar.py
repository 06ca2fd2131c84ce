"""The tar reader and writer against Python's tarfile."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from tests.support.tars import Member, directory, hardlink, read, symlink, tar

from sampan.storage import whole_tree
from sampan.tree.entry import ArchiveError, Entry
from sampan.tree.extract import ExtractOptions, extract
from sampan.tree.header import parse, render
from sampan.tree.reader import TarReader

LONG = "d" * 90 + "/" + "e" * 150 + "/ü" + "f" * 200


class Dribble:
    """A stream that gives a few bytes at a time."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data, self._step = io.BytesIO(data), step

    def read(self, size: int, /) -> bytes:
        return self._data.read(min(size, self._step))


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("step", [1 << 20, 700, 7])
def test_what_tarfile_writes_is_read(format: int, step: int) -> None:
    name, link = (LONG, "x" * 150) if format != tarfile.USTAR_FORMAT else ("a" * 90 + "/" + "b" * 90, "x" * 99)
    big = 1 << 31 if format != tarfile.USTAR_FORMAT else 0o7777777
    members = [
        Member(name, b"hello" * 500, uid=big, mode=0o4755),
        symlink("l", link),
        directory("d", 0o1777),
        Member("e"),
    ]
    reader = TarReader(Dribble(tar(*members, format=format).getvalue(), step))
    found = [(entry, b"".join(reader.chunks())) for entry in reader]
    assert [(entry.name.rstrip("/"), entry.mode) for entry, _ in found] == [(m.name, m.mode) for m in members]
    assert found[0][1] == b"hello" * 500 and found[0][0].uid == big and found[1][0].link == link
    assert all(entry.mtime == 1_700_000_000 * 10**9 for entry, _ in found)


@pytest.mark.parametrize("step", [1 << 20, 700, 7])
@pytest.mark.parametrize("kept", [0, 1, 300])
def test_an_archive_may_end_within_the_padding(step: int, kept: int) -> None:
    data = tar(Member("a", b"x" * 700), Member("b", b"last")).getvalue()
    end = 512 + 1024 + 512 + len(b"last")
    reader = TarReader(Dribble(data[: end + kept], step))
    assert [(entry.name, b"".join(reader.chunks())) for entry in reader] == [("a", b"x" * 700), ("b", b"last")]
    with pytest.raises(ArchiveError, match="unexpected end"):
        list(TarReader(Dribble(data[: end - 1], step)))


def test_skipped_contents_do_not_confuse() -> None:
    stream = tar(Member("a", b"x" * 3000), Member("b", b"y"))
    assert [entry.name for entry in TarReader(stream)] == ["a", "b"]


@pytest.mark.parametrize(
    "entry",
    [
        Entry("plain", size=5, mtime=10**18),
        Entry(LONG, uid=1 << 31, gid=1 << 40, mtime=1_700_000_000_123_456_789),
        Entry("p" * 99 + "/" + "q" * 100, b"2", link="t" * 300),
        Entry("old", mtime=-1_500_000_000, xattrs={"user.x": b"\0=\n\xff", "security.capability": b"\1"}),
        Entry("huge", size=1 << 40),
    ],
    ids=lambda entry: entry.name[:5],
)
def test_a_header_survives_the_round_trip(entry: Entry) -> None:
    data = render(entry)
    assert len(data) % 512 == 0
    found = next(iter(TarReader(io.BytesIO(data + bytes(1024)))))
    assert (found.name, found.uid, found.gid, found.mtime, found.link, found.size, found.xattrs) == (
        entry.name, entry.uid, entry.gid, entry.mtime, entry.link, entry.size, entry.xattrs,
    )  # fmt: skip
    info = tarfile.TarInfo.frombuf(data[-512:], "utf-8", "surrogateescape")
    assert info.mode == parse(data[-512:]).mode


def test_a_tree_goes_out_and_in_again(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    (source / "dir").mkdir(parents=True)
    target.mkdir()
    (source / "dir/file").write_bytes(os.urandom(300_000))
    os.link(source / "dir/file", source / "again")
    (source / os.fsdecode(b"not-\xff-utf8")).write_text("x")
    os.mkfifo(source / "fifo", 0o640)
    os.mknod(source / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (source / "link").symlink_to("dir/file")
    os.setxattr(source / "dir", "user.note", b"\0")
    os.setxattr(source / "dir/file", "security.capability", bytes.fromhex("0100000200040000000000000000000000000000"))
    os.chown(source / "link", 5, 6, follow_symlinks=False)
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target)]
    data = b"".join(whole_tree(fds[0]))
    assert data == b"".join(whole_tree(fds[0]))
    assert read(data)["dir/file"].type == tarfile.LNKTYPE  # `again` comes first
    used = extract(fds[1], io.BytesIO(data), ExtractOptions())
    assert used.exact and used.usage.bytes == 300_001 and used.usage.inodes == 6
    assert b"".join(whole_tree(fds[1])) == data
    for fd in fds:
        os.close(fd)


def test_links_and_files_replace_each_other(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    first = tar(directory("a"), Member("a/f"), Member("b", b"1"), symlink("c", "b"))
    second = tar(Member("a", b"2"), directory("b"), Member("c", b"3"), hardlink("d", "c"), hardlink("c", "c"))
    for stream in (first, second):
        extract(fd, stream, ExtractOptions())
    os.close(fd)
    assert (tmp_path / "a").read_bytes() == b"2" and (tmp_path / "b").is_dir() and (tmp_path / "d").read_bytes() == b"3"
