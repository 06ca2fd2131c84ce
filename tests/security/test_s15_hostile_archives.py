"""S15, S17: whatever an archive holds, nothing outside its root changes, and what it may grow to is bounded."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import stat
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sampan.errors import InvalidArgument
from sampan.tree.entry import ArchiveError, Limits
from sampan.tree.extract import ExtractOptions, Whiteouts, extract
from tests.support.tars import Member, directory, hardlink, symlink, tar

CHARACTER, BLOCK = tarfile.CHRTYPE, tarfile.BLKTYPE
UP = "../../../../../../.."


def pax(**records: str) -> dict[str, str]:
    return dict(records)


def corpus(canary: Path) -> dict[str, io.BytesIO]:
    """Every trick that once worked on some engine, aimed at `canary`, a directory of the host's with a file in it."""
    out = str(canary)
    return {
        "dotdot": tar(Member(f"{UP}{out}/file", b"pwned")),
        "dotdot inside": tar(Member(f"a/{UP}{out}/file", b"pwned")),
        "absolute": tar(Member(f"{out}/file", b"pwned")),
        "absolute, doubled": tar(Member(f"//{out}/file", b"pwned")),
        "link as parent": tar(symlink("a", out), Member("a/file", b"pwned")),
        "relative link as parent": tar(symlink("a", f"{UP}{out}"), Member("a/file", b"pwned")),
        "chain of links": tar(symlink("a", "b"), symlink("b", "c"), symlink("c", out), Member("a/file", b"pwned")),
        "link then file of its name": tar(symlink("a", f"{out}/file"), Member("a", b"pwned")),
        "link then directory of its name": tar(
            symlink("a", out), directory("a", 0o777, uid=1), Member("a/file", b"pwned")
        ),
        "directory then link then file": tar(directory("a"), symlink("a", out), Member("a/file", b"pwned")),
        "hard link outside": tar(hardlink("a", f"{UP}{out}/file"), Member("a", b"pwned")),
        "hard link to an absolute path": tar(hardlink("a", f"{out}/file"), Member("a", b"pwned")),
        "hard link through a link": tar(symlink("l", out), hardlink("a", "l/file"), Member("a", b"pwned")),
        "hard link to a link": tar(symlink("l", f"{out}/file"), hardlink("a", "l"), Member("a", b"pwned", mode=0o777)),
        "chmod through a hard-linked link": tar(symlink("l", f"{out}/file"), hardlink("a", "l"), hardlink("b", "a")),
        "whiteout of the parent": tar(Member(".wh..")),
        "whiteout of the grandparent": tar(directory("a"), Member("a/.wh....")),
        "whiteout with a slash": tar(symlink("a", out), Member("a/.wh.file")),
        "whiteout through dotdot": tar(Member(f"{UP}{out}/.wh.file")),
        "opaque through a link": tar(symlink("a", out), Member("a/.wh..wh..opq")),
        "nothing hidden": tar(Member(".wh.")),
        "device through a link": tar(symlink("a", out), Member("a/file", type=CHARACTER, device=(1, 3), mode=0o666)),
        "whiteout device": tar(Member("a", type=CHARACTER, device=(0, 0))),
        "fifo over a link": tar(symlink("a", f"{out}/file"), Member("a", type=tarfile.FIFOTYPE)),
        "PAX path": tar(Member("a", b"pwned", pax=pax(path=f"{UP}{out}/file"))),
        "PAX linkpath": tar(Member("a", type=tarfile.SYMTYPE, pax=pax(linkpath=out)), Member("a/file", b"pwned")),
        "overlay attributes": tar(
            directory("a"), Member("a/f", b"", pax={"SCHILY.xattr.trusted.overlay.redirect": out})
        ),
        "overlay attributes of users": tar(Member("f", b"", pax={"SCHILY.xattr.user.overlay.opaque": "y"})),
        "owner out of range": tar(Member("f", b"", pax=pax(uid="4294967295"))),
        "owner far out of range": tar(Member("f", b"", pax=pax(uid="99999999999999999999"))),
        "empty link": tar(symlink("a", "")),
        "root is a link": tar(symlink(".", out), Member("file", b"pwned")),
        "root is a file": tar(Member("./", b"pwned")),
        "duplicate names": tar(
            Member("a", b"1"), directory("a"), Member("a/b"), symlink("a", out), Member("a/file", b"x")
        ),
        "unknown type": tar(Member("a", type=b"V")),
        "PAX without end": broken(b"9999 path=x\n"),
        "PAX with a lie": broken(b"3 \n12 path=aaa"),
        "PAX with NUL": broken(pax_record(b"path", b"a\0b")),
        "PAX negative size": broken(pax_record(b"size", b"-5")),
        "PAX sparse lie": broken(pax_record(b"GNU.sparse.map", b"0,10,5,10") + pax_record(b"GNU.sparse.size", b"9")),
        "PAX sparse huge count": broken(
            pax_record(b"GNU.sparse.major", b"1") + pax_record(b"GNU.sparse.realsize", b"9")
        ),
        "cut short": io.BytesIO(tar(Member("a", bytes(4000))).getvalue()[:2000]),
        "bad checksum": io.BytesIO(b"x" + tar(Member("a")).getvalue()[1:]),
        "negative number": patched(124, struct.pack(">Bxxxq", 0xFF, -100)),
        "number with a sign": patched(124, b"-0000000005\0"),
        "number with an underscore": patched(124, b"0_000000005\0"),
        "no tar at all": io.BytesIO(b"hello" * 1000),
    }  # fmt: skip


def pax_record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 2
    return b"%d" % (length if len(b"%d" % length) == 2 else length + 1) + body


def broken(records: bytes) -> io.BytesIO:
    """A member with PAX records that tarfile would not write."""
    info = tarfile.TarInfo("x")
    info.type, info.size = b"x", len(records)
    member = tarfile.TarInfo("a")
    member.size = 5
    padding = bytes(-len(records) % 512)
    return io.BytesIO(info.tobuf() + records + padding + member.tobuf() + b"data\n" + bytes(507 + 1024))


def patched(offset: int, data: bytes) -> io.BytesIO:
    """A good header with one field replaced and its checksum mended."""
    block = bytearray(tarfile.TarInfo("a").tobuf(tarfile.USTAR_FORMAT))
    block[offset : offset + len(data)] = data
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return io.BytesIO(bytes(block) + bytes(1024))


def fingerprint(path: Path) -> str:
    """Everything about a tree but access times."""
    digest = hashlib.sha256()
    for at, names, files in [*os.walk(path)]:
        for name in ["", *sorted(names + files)]:
            found = os.lstat(f"{at}/{name}".rstrip("/"))
            digest.update(f"{at}/{name} {found.st_mode} {found.st_uid} {found.st_mtime_ns} {found.st_nlink}".encode())
        for name in sorted(files):
            digest.update(Path(at, name).read_bytes())
    return digest.hexdigest()


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "host"
    path.mkdir(mode=0o700)
    (path / "file").write_bytes(b"precious")
    before = fingerprint(path)
    yield path
    assert fingerprint(path) == before


NAMES = list(corpus(Path("/nowhere")))


@pytest.mark.parametrize("name", NAMES)
def test_s15_nothing_outside_changes(name: str, canary: Path, tmp_path: Path) -> None:
    for whiteouts in Whiteouts:
        root = tmp_path / f"root-{whiteouts.name}"
        root.mkdir()
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            extract(fd, corpus(canary)[name], ExtractOptions(whiteouts, keep_directories=whiteouts is Whiteouts.NONE))
        except (ArchiveError, OSError):
            pass  # refusing is fine; what counts is the canary
        finally:
            os.close(fd)
        assert (tmp_path / "host/file").read_bytes() == b"precious"
        for at, directories, files in os.walk(root):
            for entry in [*directories, *files]:
                path = f"{at}/{entry}"
                assert not [
                    key for key in os.listxattr(path, follow_symlinks=False) if "overlay" in key and "red" in key
                ]
                assert os.lstat(path).st_ino != (canary / "file").stat().st_ino


def refused(stream: io.BytesIO, tmp_path: Path, limits: Limits | None = None) -> str:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(InvalidArgument) as caught:
            extract(fd, stream, ExtractOptions(Whiteouts.OVERLAY), limits)
    finally:
        os.close(fd)
    return str(caught.value)


def test_s15_what_is_refused_says_so(tmp_path: Path) -> None:
    out = corpus(Path("/etc"))
    assert "leads out of the root" in refused(out["dotdot"], tmp_path)
    assert "invalid whiteout" in refused(out["whiteout of the parent"], tmp_path)
    assert "whiteout device" in refused(out["whiteout device"], tmp_path)
    assert "checksum" in refused(out["bad checksum"], tmp_path)
    assert "unexpected end" in refused(out["cut short"], tmp_path)


def test_s15_set_id_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    """They are an image's right: what matters is that they arrive exactly, in a directory other users cannot enter."""
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    extract(
        fd, tar(Member("su", b"x", mode=0o6755, uid=3), Member("null", type=CHARACTER, device=(1, 3), mode=0o666)),
        ExtractOptions(Whiteouts.OVERLAY),
    )  # fmt: skip
    os.close(fd)
    assert stat.S_IMODE((tmp_path / "su").stat().st_mode) == 0o6755
    assert (tmp_path / "null").stat().st_rdev == os.makedev(1, 3)


class Zeros:
    """An endless member: a header, then zeros for ever."""

    def __init__(self, size: int) -> None:
        info = tarfile.TarInfo("bomb")
        info.size = size
        self._head = info.tobuf(tarfile.GNU_FORMAT)

    def read(self, size: int, /) -> bytes:
        head, self._head = self._head, b""
        return head or bytes(size)


class Entries:
    """Headers for ever."""

    def __init__(self) -> None:
        self._block = tarfile.TarInfo("a/b").tobuf() * 64

    def read(self, size: int, /) -> bytes:
        return self._block


def test_s17_size_entries_and_headers_are_bounded(tmp_path: Path) -> None:
    limits = Limits(bytes=10 << 20, entries=1000)
    assert "more than 10485760 bytes" in refused(Zeros(1 << 50), tmp_path, limits)  # type: ignore[arg-type]
    assert "more than 1000 entries" in refused(Entries(), tmp_path, limits)  # type: ignore[arg-type]
    sparse = broken(pax_record(b"GNU.sparse.map", b"0,5") + pax_record(b"GNU.sparse.realsize", b"9" * 15))
    assert "more than" in refused(sparse, tmp_path, limits)
    long_name = tarfile.TarInfo("x" * (2 << 20)).tobuf(tarfile.GNU_FORMAT)
    assert "longer than" in refused(io.BytesIO(long_name), tmp_path, limits)


def test_s17_memory_stays_flat(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)

    class Cut(Zeros):
        left = 300

        def read(self, size: int, /) -> bytes:
            self.left -= 1
            return super().read(size) if self.left else b""

    with pytest.raises(ArchiveError, match="unexpected end"):
        extract(fd, Cut(1 << 40), ExtractOptions(), None)
    os.close(fd)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10  # KiB: 300 MB went through
