"""Databases that rpm and Berkeley DB really write, in each of rpm's formats."""

from __future__ import annotations

import sqlite3
import struct
import subprocess
from pathlib import Path

import pytest

from sampan.image.packages import inventory, is_record
from sampan.image.rpmdb import headers

SPEC = """\
Name: mother
Version: 1.2
Release: 3.el9
Epoch: 2
Summary: x
License: MIT
BuildArch: noarch
%description
x
%files
%ghost /mother
%package child
Summary: x
%description child
"""
MANY = "".join(
    f"%package p{number}\nSummary: x\n%description -n mother-p{number}\n{'long ' * 2000}\n%files -n mother-p{number}\n"
    for number in range(30)
)
EXPECTED = {("mother", "2:1.2-3.el9", ""), ("mother-child", "2:1.2-3.el9", "mother")} | {
    (f"mother-p{number}", "2:1.2-3.el9", "mother") for number in range(30)
}


def run(*argv: str, stdin: str = "") -> str:
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def rpms(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    top = tmp_path_factory.mktemp("rpmbuild")
    (top / "mother.spec").write_text(f"{SPEC}x\n%files child\n{MANY}")
    run("rpmbuild", "-bb", "-D", f"_topdir {top}", "-D", "_build_id_links none", "-D", "_binary_payload w0.gzdio",
        f"{top}/mother.spec")  # fmt: skip
    return [str(path) for path in top.rglob("*.rpm")]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, rpms: list[str]) -> Path:
    """What rpm makes of their installation."""
    root = tmp_path_factory.mktemp("rpmdb")
    run("rpm", "--dbpath", str(root), "-i", "--justdb", "--nodeps", *rpms)
    return root / "rpmdb.sqlite"


def rows(database: Path) -> list[tuple[int, bytes]]:
    connection = sqlite3.connect(database)
    found = connection.execute("SELECT hnum, blob FROM Packages").fetchall()
    connection.close()
    return found


def packages(data: bytes, name: str) -> set[tuple[str, str, str]]:
    found = inventory({f"var/lib/rpm/{name}": data}).packages
    assert all(package.architecture == "noarch" for package in found)
    assert {package.license for package in found} == {"MIT"}
    return {(package.name, package.version, package.source) for package in found}


def survives_damage(data: bytes) -> None:
    for damaged in (data[: len(data) // 2], data[:64], data[:600], data[:100] + bytes(len(data) - 100)):
        list(headers(damaged))  # whatever it gives, it ends


def test_what_rpm_writes_is_read(database: Path) -> None:
    data = database.read_bytes()
    assert packages(data, "rpmdb.sqlite") == EXPECTED
    survives_damage(data)


@pytest.mark.parametrize("order", ["", "db_lorder=4321\n"])
def test_a_hash_of_berkeley_db_is_read(database: Path, tmp_path: Path, order: str) -> None:
    """rpm 4.18 cannot write it any more: Berkeley DB's own loader does, in both byte orders, with rpm's headers."""
    records = [(0, (32).to_bytes(4, "little")), *rows(database)]
    lines = "".join(f" {number.to_bytes(4, 'little').hex()}\n {blob.hex()}\n" for number, blob in records)
    head = f"VERSION=3\nformat=bytevalue\ntype=hash\n{order}db_pagesize=4096\nHEADER=END\n"
    run("db5.3_load", f"{tmp_path}/Packages", stdin=f"{head}{lines}DATA=END\n")
    data = (tmp_path / "Packages").read_bytes()
    assert packages(data, "Packages") == EXPECTED
    survives_damage(data)


def test_rpms_own_format_is_read(database: Path) -> None:
    """Debian's rpm is built without ndb: the file is laid out here as rpmpkg.c does, of rpm's headers."""
    slots, blobs, block = b"", b"", 4096 // 16
    for number, blob in rows(database):
        record = struct.pack("<4sIII", b"BlbS", number, 0, len(blob)) + blob
        record += bytes(-len(record) % 16)
        slots += struct.pack("<4sIII", b"Slot", number, block + len(blobs) // 16, len(record) // 16)
        blobs += record
    slots += struct.pack("<4sIII", b"Slot", 0, 0, 0)
    data = (struct.pack("<4sIII16x", b"RpmP", 0, 1, 1) + slots).ljust(4096, b"\0") + blobs
    assert packages(data, "Packages.db") == EXPECTED
    survives_damage(data)


def test_layers_keep_every_format() -> None:
    assert all(is_record(f"var/lib/rpm/{name}") for name in ("rpmdb.sqlite", "Packages.db", "Packages"))
    assert not is_record("var/lib/rpm/Name")
