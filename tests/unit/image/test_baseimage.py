from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

from sampan.image.aptsources import mirror_of, read_sources
from sampan.image.baseimage import busybox_tar, clean_debian, is_static, tree_tar


def test_busybox_is_one_program_under_many_names() -> None:
    data = busybox_tar(b"program", ["sh", "ls", "[", "busybox"], 0)
    assert data == busybox_tar(b"program", ["[", "busybox", "ls", "sh"], 0)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert {tar.getmember(f"bin/{name}").linkname for name in ("sh", "ls", "[")} == {"bin/busybox"}
        assert tar.getmember("tmp").mode == 0o1777
        passwd = tar.extractfile("etc/passwd")
        assert passwd is not None and passwd.read().startswith(b"root:x:0:0:root:/root:/bin/sh\n")


def test_a_program_with_an_interpreter_is_not_static(tmp_path: Path) -> None:
    assert not is_static(sys.executable)
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert not is_static(f"{tmp_path}/script")


def test_a_debian_tree_loses_its_caches_and_its_identity(tmp_path: Path) -> None:
    for name in ("var/cache/apt/a.deb", "var/log/dpkg.log", "etc/machine-id", "etc/apt/sources.list", "etc/dpkg/x/y"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    clean_debian(str(tmp_path), "Types: deb\n")
    assert (tmp_path / "etc/machine-id").read_text() == ""
    assert not (tmp_path / "var/log/dpkg.log").exists()
    assert (tmp_path / "usr/sbin/policy-rc.d").stat().st_mode & 0o777 == 0o755
    buffer = io.BytesIO()
    tree_tar(str(tmp_path), buffer)
    with tarfile.open(fileobj=io.BytesIO(buffer.getvalue())) as tar:
        assert "etc/apt/sources.list.d/debian.sources" in tar.getnames()
        assert "etc/apt/sources.list" not in tar.getnames()


def test_apt_sources_are_read_in_both_formats(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(
        "Types: deb deb-src\n# note\nURIs: http://mirror.test/debian\nSuites: trixie trixie-updates\n"
        "Components: main\n\nTypes: deb\nEnabled: no\nURIs: http://off.test/debian\nSuites: trixie\nComponents: main\n"
    )
    (tmp_path / "sources.list").write_text(
        "# deb http://no.test/x y main\ndeb [arch=amd64 signed-by=/k] http://old.test/debian bookworm main x # c\n"
    )
    sources = read_sources(str(tmp_path))
    assert [source.uri for source in sources] == ["http://mirror.test/debian", "http://old.test/debian"]
    assert mirror_of(sources, "bookworm") == "http://old.test/debian"
    assert mirror_of(sources, "trixie") == "http://mirror.test/debian"
    assert mirror_of(sources, "sid") == "http://mirror.test/debian"
    assert mirror_of([], "sid") is None
