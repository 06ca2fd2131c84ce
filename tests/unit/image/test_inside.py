"""Explore, squash, bills of material and scans over hand-made archives."""

from __future__ import annotations

import io
import itertools
import json
import sqlite3
import struct
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import pytest

from sampan.image.archive import Archive, ArchivedImage
from sampan.image.contents import flatten, read_layers
from sampan.image.explore import explore, failures
from sampan.image.packages import inventory, is_record
from sampan.image.rpmdb import headers
from sampan.image.sbom import cyclonedx, spdx
from sampan.image.scan import affected_by, scan
from sampan.image.squash import squash
from sampan.image.versions import compare_apk, compare_dpkg, compare_numeric, compare_rpm


def layer(files: dict[str, bytes | str]) -> bytes:
    """A string is the target of a hard link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(data, str):
                member.type, member.linkname = tarfile.LNKTYPE, data
                tar.addfile(member)
            else:
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@contextmanager
def archive_of(*layers: bytes) -> Iterator[tuple[Archive, ArchivedImage]]:
    with tempfile.TemporaryFile() as file:
        yield _fill(file, layers)


def _fill(file: IO[bytes], layers: tuple[bytes, ...]) -> tuple[Archive, ArchivedImage]:
    with tarfile.open(fileobj=file, mode="w") as tar:
        for number, data in enumerate(layers):
            member = tarfile.TarInfo(f"layer{number}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    file.flush()
    file.seek(0)
    config = json.dumps({"architecture": "amd64", "os": "linux", "history": [{"created_by": "x"}]}).encode()
    return Archive(cast(BinaryIO, file)), ArchivedImage(
        config, tuple(f"layer{number}" for number in range(len(layers)))
    )


LAYERS = (
    layer({"a": b"1" * 100, "d/x": b"2" * 50, "d/y": b"3", "gone": b"4" * 10, "kept": "gone"}),
    layer({"a": b"5" * 30, ".wh.gone": b"", "d/.wh..wh..opq": b"", "d/z": b"6"}),
)


def test_wasted_bytes_are_those_that_nobody_sees() -> None:
    with archive_of(*LAYERS) as opened:
        report = explore(read_layers(*opened, ["one", "two"]))
    assert [(found.added, found.changed, found.removed) for found in report.layers] == [(5, 0, 0), (1, 1, 3)]
    assert report.wasted == 100 + 50 + 1 + 10
    assert report.wasted_paths[0].path == "a"
    assert report.efficiency == pytest.approx(1 - 161 / 192)
    assert len(failures(report, 0.9, 100, 0.1)) == 3
    assert not failures(report, 0.1, 0, 0.9)


def test_a_squashed_image_shows_the_same_files() -> None:
    with tempfile.TemporaryFile() as target, tempfile.TemporaryFile() as scratch, archive_of(*LAYERS) as opened:
        squash(*opened, ["x:1"], target, scratch)
        target.seek(0)
        archive = Archive(target)
        (image,) = archive.images()
        assert [name.familiar for name in image.names] == ["x:1"]
        (merged,) = read_layers(archive, image, [], lambda path: True)
    assert merged.kept == {"a": b"5" * 30, "kept": b"4" * 10, "d/z": b"6"}


STATUS = b"""Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b7
Source: bash (5.2.15-2)

Package: gone
Status: deinstall ok config-files
Version: 1
"""
FILES: dict[str, bytes | str] = {
    "etc/os-release": b'ID=debian\nVERSION_ID="12"\n',
    "var/lib/dpkg/status": STATUS,
    "usr/lib/python3/dist-packages/Some_Pkg-1.0.dist-info/METADATA": b"Name: Some_Pkg\nVersion: 1.0\n",
    "app/node_modules/@scope/tool/package.json": b'{"name": "@scope/tool", "version": "2.1.0", "license": "MIT"}',
    "lib/apk/db/installed": b"P:musl\nV:1.2.4-r1\nA:x86_64\no:musl\nL:MIT\n\n",
    "etc/passwd": b"root",
}


def test_packages_are_read_from_every_managers_records() -> None:
    with archive_of(layer(FILES)) as opened:
        found = inventory(flatten(read_layers(*opened, [], is_record)))
    assert (found.distribution, found.release) == ("debian", "12")
    assert [(package.kind, package.name, package.version) for package in found.packages] == [
        ("apk", "musl", "1.2.4-r1"), ("deb", "bash", "5.2.15-2+b7"), ("npm", "@scope/tool", "2.1.0"),
        ("pypi", "some-pkg", "1.0"),
    ]  # fmt: skip
    bill = spdx(found, "x", "sha256:" + "0" * 64, "2026-01-01T00:00:00Z")
    locators = [package["externalRefs"][0]["referenceLocator"] for package in bill["packages"]]
    assert "pkg:deb/debian/bash@5.2.15-2+b7?arch=amd64&distro=debian-12" in locators
    assert [component["purl"] for component in cyclonedx(found, "x", "d", "t")["components"]] == locators
    records = [
        {"id": "DSA-1", "summary": "bad", "affected": [{
            "package": {"ecosystem": "Debian:12", "name": "bash"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.2.15-3"}]}]}]},
        {"id": "OLD", "affected": [{
            "package": {"ecosystem": "Debian:12", "name": "bash"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "5.1-1"}]}]}]},
        {"id": "PY", "affected": [{"package": {"ecosystem": "PyPI", "name": "some-pkg"}, "versions": ["1.0"]}]},
        {"id": "WITHDRAWN", "withdrawn": "x", "affected": [{"package": {"ecosystem": "npm", "name": "@scope/tool"},
                                                           "versions": ["2.1.0"]}]},
    ]  # fmt: skip
    assert [(hit.id, hit.package, hit.fixed) for hit in scan(found, iter(records))] == [
        ("DSA-1", "bash", "5.2.15-3"), ("PY", "some-pkg", "")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("1.0~rc1", "1.0"),
        ("1.0", "1.0-1"),
        ("1.0-1", "1.0-1+b1"),
        ("1.9", "1.10"),
        ("9", "1:0"),
        ("1.0a", "1.0+"),
        ("2.7.4+reloaded2-13", "2.7.4+reloaded2-13ubuntu1"),
    ],
)
def test_dpkg_versions(low: str, high: str) -> None:
    assert (compare_dpkg(low, high), compare_dpkg(high, low), compare_dpkg(low, low)) == (-1, 1, 0)


@pytest.mark.parametrize(
    ("low", "high"), [("1.9", "1.10"), ("1.0rc1", "1.0"), ("1.0", "1.0.1"), ("1.0-alpha", "1.0-beta")]
)
def test_numeric_versions(low: str, high: str) -> None:
    assert (compare_numeric(low, high), compare_numeric(high, low), compare_numeric(low, f"{low}")) == (-1, 1, 0)
    assert compare_numeric("1.0", "1.0.0") == 0


def test_ranges_with_gaps() -> None:
    events = [{"introduced": "0"}, {"fixed": "2"}, {"introduced": "4"}, {"last_affected": "5"}]
    affected: dict[str, Any] = {"ranges": [{"type": "SEMVER", "events": events}]}
    hits = {version: affected_by(affected, version, compare_numeric) for version in ("1", "2", "3", "4.5", "5", "6")}
    assert hits == {"1": "2", "2": None, "3": None, "4.5": "", "5": "", "6": None}


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("1.2_rc1", "1.2"),
        ("1.2_alpha2", "1.2_beta"),
        ("1.2", "1.2_p1"),
        ("1.2", "1.2a"),
        ("1.2-r1", "1.2-r10"),
        ("1.9.1", "1.10"),
        ("1.05", "1.1"),
        ("1.2", "1.2.1_rc1"),
        ("1.1.1v-r0", "1.1.1w-r0"),
        ("1.2_git20230101", "1.2_p1"),
    ],
)
def test_apk_versions(low: str, high: str) -> None:
    assert (compare_apk(low, high), compare_apk(high, low), compare_apk(low, low)) == (-1, 1, 0)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("1.0~rc1-1", "1.0-1"),
        ("1.0-1", "1.0^git1-1"),
        ("1.0^git1-1", "1.0.1-1"),
        ("5.1.8-6.el9", "5.1.8-9.el9"),
        ("2.0-1", "1:1.0-1"),
        ("1.0a-1", "1.0.1-1"),
        ("1.9-1", "1.10-1"),
        ("1.0-1.el9", "1.0-1.el9_2.1"),
    ],
)
def test_rpm_versions(low: str, high: str) -> None:
    assert (compare_rpm(low, high), compare_rpm(high, low), compare_rpm(low, low)) == (-1, 1, 0)
    assert compare_rpm("1.0.0-1", "1_0_0-01") == 0  # separators and leading zeros do not count


def rpm_header(**tags: str | int) -> bytes:
    """One package as rpm stores it."""
    numbers = {"name": 1000, "version": 1001, "release": 1002, "epoch": 1003, "arch": 1022, "sourcerpm": 1044}
    index, data = b"", b""
    for name, value in tags.items():
        raw = value.to_bytes(4, "big") if isinstance(value, int) else value.encode() + b"\0"
        data += bytes(-len(data) % 4) if isinstance(value, int) else b""
        index += struct.pack(">IIII", numbers[name], 4 if isinstance(value, int) else 6, len(data), 1)
        data += raw
    return struct.pack(">II", len(tags), len(data)) + index + data


def test_a_database_that_never_ends_is_not_read(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "rpmdb.sqlite")
    endless = "WITH RECURSIVE n(blob) AS (SELECT x'00' UNION ALL SELECT blob FROM n) SELECT blob FROM n"
    connection.execute(f"CREATE VIEW Packages AS {endless}")
    connection.close()
    assert list(itertools.islice(headers((tmp_path / "rpmdb.sqlite").read_bytes()), 1)) == []


def test_rpm_packages_are_read_from_sqlite(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "rpmdb.sqlite")
    connection.execute("PRAGMA journal_mode = WAL")  # as rpm leaves it
    connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    rows = [
        rpm_header(name="openssl-libs", version="3.0.7", release="24.el9", epoch=1, arch="x86_64",
                   sourcerpm="openssl-3.0.7-24.el9.src.rpm"),
        rpm_header(name="gpg-pubkey", version="x", release="y"),
        b"\xff" * 40,
    ]  # fmt: skip
    connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(row,) for row in rows])
    connection.commit()
    connection.close()
    files: dict[str, bytes | str] = {
        "etc/os-release": b'ID="rocky"\nVERSION_ID="9.3"\n',
        "var/lib/rpm/rpmdb.sqlite": (tmp_path / "rpmdb.sqlite").read_bytes(),
    }
    with archive_of(layer(files)) as opened:
        found = inventory(flatten(read_layers(*opened, [], is_record)))
    (package,) = found.packages
    assert (package.name, package.version, package.source) == ("openssl-libs", "1:3.0.7-24.el9", "openssl")
    record = {"id": "RLSA-1", "affected": [{
        "package": {"ecosystem": "Rocky Linux:9", "name": "openssl-libs"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1:3.0.7-25"}]}]}]}  # fmt: skip
    assert [(hit.id, hit.fixed) for hit in scan(found, iter([record]))] == [("RLSA-1", "1:3.0.7-25")]
    assert not list(headers(b"no database"))
